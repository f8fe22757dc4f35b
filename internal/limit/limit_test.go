package limit_test

import (
	"fmt"
	"testing"
	"time"

	"promess/authgw/internal/limit"
)

var noon = time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)

func TestSourceMayDoSoMuchAtOnceAndSoMuchInTheLongRun(t *testing.T) {
	s := limit.Sources{PerSecond: 2, AtOnce: 3}
	for i, want := range []bool{true, true, true, false} {
		if got := s.Allow("192.0.2.1", noon); got != want {
			t.Errorf("%d: Allow = %t, want %t", i, got, want)
		}
	}
	if !s.Allow("192.0.2.2", noon) {
		t.Error("another address is refused")
	}
	if !s.Allow("192.0.2.1", noon.Add(500*time.Millisecond)) || s.Allow("192.0.2.1", noon.Add(500*time.Millisecond)) {
		t.Error("two a second expected in the long run")
	}
}

// B5, G10: a subscriber has 2^64 IPv6 addresses, and is one source with all of them; an IPv4 address is one, however it is written.
func TestB5G10AddressesOfOneSubscriberAreOneSource(t *testing.T) {
	for name, of := range map[string]func(int) string{
		"IPv6":                    func(i int) string { return fmt.Sprintf("2001:db8:1:2:%x::%x", i, i) },
		"IPv6 with a zone":        func(i int) string { return fmt.Sprintf("fe80::%x%%eth%d", i+1, i) },
		"IPv4, plain and in IPv6": func(i int) string { return []string{"192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201"}[i%3] },
		"what is no address":      func(i int) string { return []string{"", "@", "300.1.1.1", "1.2.3.4:5"}[i%4] },
	} {
		t.Run(name, func(t *testing.T) {
			s := limit.Sources{PerSecond: 1, AtOnce: 10}
			for i := range 20 {
				if got, want := s.Allow(of(i), noon), i < 10; got != want {
					t.Errorf("%s: Allow = %t, want %t", of(i), got, want)
				}
			}
			if !s.Allow("2001:db8:1:3::1", noon) || !s.Allow("192.0.2.2", noon) {
				t.Error("another subscriber is refused")
			}
		})
	}
}
