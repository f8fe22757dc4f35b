package qr_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"promess/authgw/idp/qr"
	"promess/authgw/internal/idptest"
	"promess/authgw/internal/seal"
)

// Of two gateways, each clock may be five seconds from the database's (docs/operate.md), so that one draws an image which is not due yet at
// the other.
func TestCodeOfAGatewayWhoseClockIsAhead(t *testing.T) {
	for name, tt := range map[string]struct {
		ahead  time.Duration
		status int
	}{"ten seconds": {10 * time.Second, http.StatusOK}, "more": {10*time.Second + time.Millisecond, http.StatusNotFound}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.Browser(t, workstation)
			w.Advance(20 * time.Second) // an image begins
			begin(t, b)
			shown := code(t, b, "/login/qr")
			w.Advance(-tt.ahead)
			if got, status := w.phone(t).claim(shown); status != tt.status {
				t.Errorf("claim = %d %+v, want %d", status, got, tt.status)
			}
		})
	}
}

// What comes in a code is a login's only if the key says so: no text that is changed, or made up, is one.
func FuzzReadCode(f *testing.F) {
	k, err := seal.Parse([]byte(keyFile))
	if err != nil {
		f.Fatal(err)
	}
	var handle [32]byte
	for i := range handle {
		handle[i] = byte(i)
	}
	good := map[string]string{qr.LoginCode(k, handle, idptest.Noon()): qr.Name, qr.AddCode(k, handle): "phone-add"}
	for code := range good {
		f.Add(code)
		f.Add(code + "\n")
		f.Add(strings.ToUpper(code))
		f.Add(strings.Replace(code, ".", "..", 1))
		f.Add(code[:len(code)-1] + "=")
	}
	f.Add("l." + strings.Repeat("A", 42) + "\n.k1.")
	f.Add("")
	f.Fuzz(func(t *testing.T, code string) {
		got, name, ok := qr.ReadCode(k, code, idptest.Noon())
		if want := good[code]; ok != (want != "") || ok && (name != want || got != handle) {
			t.Errorf("readCode(%q) = %x, %q, %t", code, got, name, ok)
		}
	})
}
