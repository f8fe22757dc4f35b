package oidc_test

import (
	"regexp"
	"strings"
	"testing"

	"promess/authgw/idp/oidc"
)

var userCodeForm = regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`)

// What is read as a user code has the form of one, is the letters that were typed in their order, and reads as itself.
func FuzzUserCode(f *testing.F) {
	for _, s := range []string{"WDJB-MJHT", "wdjbmjht", " w d j b m j h t ", "WDJB–MJHT", "WDJB_MJHT", "WDJB-MJHA", "WDJB-MJHTT", "ſſſſſſſſ", "", "\u00a0", "1WDJBMJHT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := oidc.ReadUserCode(typed)
		if !ok {
			if code != "" {
				t.Errorf("%q: %q, though it is none", typed, code)
			}
			return
		}
		letters := strings.Map(func(c rune) rune {
			if c >= 'A' && c <= 'Z' {
				return c
			}
			return -1
		}, strings.ToUpper(typed))
		if !userCodeForm.MatchString(code) || strings.Replace(code, "-", "", 1) != letters {
			t.Errorf("%q: read as %q", typed, code)
		}
		if again, ok := oidc.ReadUserCode(code); !ok || again != code {
			t.Errorf("%q: reads as %q", code, again)
		}
	})
}
