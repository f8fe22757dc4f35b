package store

import (
	"strings"
	"testing"
	"time"
)

// Two gateways whose clocks are far apart would not hear of each other's changes: the start is refused, and says why.
func TestClocksThatAreApart(t *testing.T) {
	before := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	after := before.Add(time.Second)
	for _, tt := range []struct {
		name   string
		server time.Time
		want   string // in the message; empty: none
	}{
		{"the same", before, ""},
		{"a little behind", before.Add(-5 * time.Second), ""},
		{"a little ahead", after.Add(5 * time.Second), ""},
		{"behind", before.Add(-5*time.Second - time.Millisecond), "its clock shows 11:59:54 and this machine's 12:00:01: set both by NTP"},
		{"ahead", after.Add(time.Hour), "its clock shows 13:00:01 and this machine's 12:00:01: set both by NTP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := compareClocks(before, tt.server, after)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("compareClocks = %v, want %q", err, tt.want)
			}
		})
	}
}
