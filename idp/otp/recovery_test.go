package otp_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"promess/authgw/idp/otp"
	"promess/authgw/internal/audit"
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

// A sheet that is shown is good: a form that is sent twice, by a second click or a reload, takes the place of no sheet that the person
// prints meanwhile. The first one stays, and the second answer says so.
func TestFormSentTwiceLeavesTheSheetThatWasShown(t *testing.T) {
	w := enrolled(t)
	b := w.browser(t)
	b.byCard()
	for range 2 { // for the first sheet, and for the next
		instead := sheetForm.FindStringSubmatch(b.get("/account/recovery").body)[1]
		codes := b.post("/account/recovery", "instead", instead).codes()
		again := b.post("/account/recovery", "instead", instead)
		again.want(t, http.StatusConflict, "Une feuille vient d’être faite", "Il vous reste 10 codes.")
		if len(codes) != 10 || len(again.codes()) != 0 {
			t.Fatalf("%d codes, then %d, want 10 and none", len(codes), len(again.codes()))
		}
		w.first(t).post("/login/otp/code/recovery", "code", codes[0]).wantTo(t, "/")
	}
	added := w.events(t, audit.FactorAdded)
	if last := added[len(added)-1]; last.Outcome != "refused" || last.Reason != "not_added" {
		t.Errorf("the trail ends with %+v", last)
	}
}

// All at once, each in its own window: one sheet is shown, and it is good.
func TestSheetsAtOnceAreOne(t *testing.T) {
	w := enrolled(t)
	b := w.browser(t)
	b.byCard()
	sheets := make(chan []string, 5)
	var group sync.WaitGroup
	for range cap(sheets) {
		group.Go(func() { sheets <- b.post("/account/recovery", "instead", "").codes() })
	}
	group.Wait()
	close(sheets)
	var shown []string
	for codes := range sheets {
		shown = append(shown, codes...)
	}
	if len(shown) != 10 {
		t.Fatalf("%d codes are shown, want those of one sheet", len(shown))
	}
	w.first(t).post("/login/otp/code/recovery", "code", shown[9]).wantTo(t, "/")
}

// D3: a code is of one person and one sheet. Those of somebody else are none, not even where somebody who writes to the database has put them.
func TestD3CodesOfAnotherSheetAreNone(t *testing.T) {
	w := enrolled(t)
	mine := w.addSheet(t)
	thief := w.stranger(t)
	thief.post("/login/card", "id", "810100000002").wantTo(t, "/")
	theirs := thief.post("/account/recovery", "instead", "").codes()
	w.first(t).post("/login/otp/code/recovery", "code", theirs[0]).want(t, http.StatusUnprocessableEntity, textWrongCode)

	paul, err := w.store.AccountByNationalID(t.Context(), "RPPS", "810100000002")
	if err != nil {
		t.Fatal(err)
	}
	all, err := w.store.Factors(t.Context(), paul.Subject)
	if err != nil {
		t.Fatal(err)
	}
	sheet := slices.IndexFunc(all, func(f store.Factor) bool { return f.Kind == store.Recovery })
	macs, err := w.store.RecoveryCodes(t.Context(), all[sheet].ID)
	if err != nil || len(macs) != 10 {
		t.Fatalf("%d codes, %v", len(macs), err)
	}
	moved := w.factors(t, store.Recovery)[0]
	moved.ID = "moved"
	if ok, err := w.store.AddFactor(t.Context(), moved, macs, 1); !ok || err != nil {
		t.Fatalf("AddFactor = %t, %v", ok, err)
	}
	for _, code := range []string{theirs[1], mine[1]} {
		w.first(t).post("/login/otp/code/recovery", "code", code).want(t, http.StatusUnprocessableEntity, textWrongCode)
	}
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
