package otp_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"promess/authgw/idp/otp"
	"promess/authgw/internal/store"
)

// Ten codes of ten characters, none of which is taken for another: none of 0 O D Q, 1 I L, 2 Z, 5 S, 8 B, U V.
func TestSheetOfRecoveryCodes(t *testing.T) {
	w := enrolled(t)
	codes := w.addSheet(t)
	form := regexp.MustCompile(`^[A-Z0-9]{5}-[A-Z0-9]{5}$`)
	seen := map[string]bool{}
	for _, c := range codes {
		if !form.MatchString(c) || strings.ContainsAny(c, "0ODQ1IL2Z5S8BUV") || seen[c] {
			t.Errorf("code %q is malformed, or there twice", c)
		}
		seen[c] = true
	}
	if len(codes) != 10 {
		t.Fatalf("%d codes, want 10", len(codes))
	}
	// They are shown once, and what is kept is keyed.
	b := w.browser(t)
	b.byCard()
	p := b.get("/account/recovery")
	p.want(t, http.StatusOK, "Il vous reste 10 codes.")
	macs, err := w.store.RecoveryCodes(t.Context(), w.factors(t, store.Recovery)[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range codes {
		if strings.Contains(p.body, c) || strings.Contains(strings.Join(macs, " "), strings.ReplaceAll(c, "-", "")) {
			t.Error("a code is shown again, or kept as it is")
		}
	}
}

// D3: each is good once. The person is told by mail how many are left, and the account page says so too.
func TestD3RecoveryCodeIsUsedOnceAndThePersonIsTold(t *testing.T) {
	w := enrolled(t)
	codes := w.addSheet(t)
	b := w.first(t)
	b.post("/login/otp/code/recovery", "code", " "+strings.ToLower(strings.ReplaceAll(codes[0], "-", " "))).wantTo(t, "/")
	m := w.told(t, "Un code de secours a servi à se connecter")
	if m.To != home || !strings.Contains(m.Text, "restants : 9") {
		t.Errorf("told to %q:\n%s", m.To, m.Text)
	}
	b.get("/account").want(t, http.StatusOK, "Il vous reste 9 codes.")
	b = w.first(t)
	b.post("/login/otp/code/recovery", "code", codes[0]).want(t, http.StatusUnprocessableEntity, textWrongCode)
	b.wantSignedIn(false)
	w.wantRefusal(t, "wrong_code")
	b.post("/login/otp/code/recovery", "code", codes[9]).wantTo(t, "/")
}

// A new sheet takes the place of the old, whoever has that.
func TestOldSheetIsWorthNothing(t *testing.T) {
	w := enrolled(t)
	old := w.addSheet(t)
	codes := w.addSheet(t)
	b := w.first(t)
	b.post("/login/otp/code/recovery", "code", old[5]).want(t, http.StatusUnprocessableEntity, textWrongCode)
	b.post("/login/otp/code/recovery", "code", codes[5]).wantTo(t, "/")
	w.told(t, "Un code de secours a servi à se connecter")
}

func FuzzReadRecovery(f *testing.F) {
	for _, s := range []string{"34679-ACEFG", " hjkmn prtwx ", "", "0000000000", "34679ACEFG\x00", "３4679ACEFG", strings.Repeat("A", 5000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := otp.ReadRecovery(typed)
		if ok && (len(code) != 10 || strings.Trim(code, otp.RecoveryAlphabet) != "") {
			t.Errorf("%q is read as %q", typed, code)
		}
		if again, same := otp.ReadRecovery(code); ok && (!same || again != code) {
			t.Errorf("%q is read as %q, and that as %q", typed, code, again)
		}
	})
}
