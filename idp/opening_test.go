package idp_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
)

const textNoAccount = "Aucun compte pour cette carte"

// wantRefused wants the page of a refusal, its line in the audit with the same code, and nobody signed in.
func (w *world) wantRefused(t *testing.T, b *browser, p page, text, reason string) {
	t.Helper()
	p.wantError(t, http.StatusForbidden, text)
	b.wantSignedIn(false)
	refused := w.events(t, audit.LoginRefused)
	if len(refused) == 0 {
		t.Fatal("no refusal in the audit")
	}
	if last := refused[len(refused)-1]; last.Reason != reason || !p.shows(last.Support) {
		t.Errorf("refusal = %+v, want %s with the code of the page", last, reason)
	}
}

// Where logins make no accounts, who has none stays out, and leaves no account behind. A24, A25, F9: somebody's name, or an identifier
// that resembles theirs, is not theirs.
func TestA24A25F9WithoutAnAccountNobodyEnters(t *testing.T) {
	each(t, testA24A25F9WithoutAnAccountNobodyEnters)
}

func testA24A25F9WithoutAnAccountNobodyEnters(t *testing.T, e engine) {
	w := newWorldOn(t, e, func(c *idp.Config) { c.CreateAccounts = false })
	if _, err := w.store.OpenAccount(t.Context(), store.Account{
		Subject: "u-jeanne", IDType: "RPPS", NationalID: "899700218896", GivenName: "JEANNE", FamilyName: "MARTIN",
	}, w.now()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*idp.Proof){
		"of the same name":                    func(p *idp.Proof) { p.NationalID = "899700218904" },
		"of the same number in another type":  func(p *idp.Proof) { p.IDType = "ADELI" },
		"of the same number with a space":     func(p *idp.Proof) { p.NationalID += " " },
		"of the same number with a wildcard":  func(p *idp.Proof) { p.NationalID = "89970021889_" },
		"whose identifier is the subject":     func(p *idp.Proof) { p.NationalID = "u-jeanne" },
		"without an identifier":               func(p *idp.Proof) { p.NationalID = "" },
		"without a type and an identifier":    func(p *idp.Proof) { p.IDType, p.NationalID = "", "" },
		"of the same number in another case":  func(p *idp.Proof) { p.IDType = "rpps" },
		"with a structure that nobody is in":  func(p *idp.Proof) { p.NationalID, p.StructureID = "899700218904", "10B0057881" },
		"with a leading zero more than there": func(p *idp.Proof) { p.NationalID = "0899700218896" },
	} {
		t.Run("somebody "+name, func(t *testing.T) {
			proof := martin()
			change(&proof)
			w.method.believe(proof)
			b := w.browser(t)
			w.wantRefused(t, b, b.post(auth+"/login/card"), textNoAccount, "no_account")
			_, err := w.store.AccountByNationalID(t.Context(), proof.IDType, proof.NationalID)
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the account afterwards: %v, want none", err)
			}
		})
	}
	t.Run("the person enters", func(t *testing.T) {
		w.method.believe(martin())
		b := w.browser(t)
		b.logIn()
		if got := w.find(t, b).Account; got.Subject != "u-jeanne" || got.Title != "Médecin" {
			t.Errorf("account = %s with title %q, want u-jeanne with the title of the card", got.Subject, got.Title)
		}
	})
}

// disabling is an audit that an administrator disables an account during.
type disabling struct {
	t *testing.T
	w *world
}

func (d disabling) Write(p []byte) (int, error) {
	var e audit.Event
	if err := json.Unmarshal(p, &e); err != nil {
		return 0, err
	}
	if e.Kind == audit.LoginSucceeded {
		if _, err := d.w.store.DisableAccount(d.t.Context(), e.Subject, d.w.now()); err != nil {
			return 0, err
		}
	}
	return d.w.audit.Write(p)
}

// D14: who is disabled between the look at the account and the session gets none, and is told why.
func TestD14DisabledDuringTheLogin(t *testing.T) { each(t, testD14DisabledDuringTheLogin) }

func testD14DisabledDuringTheLogin(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	w.idp.Audit = audit.New(disabling{t, w}, w.now)
	b := w.browser(t)
	w.wantRefused(t, b, b.post(auth+"/login/card"), textDisabled, "account_disabled")
	if opened := w.events(t, audit.SessionOpened); len(opened) > 0 {
		t.Errorf("sessions opened = %+v, want none", opened)
	}
}

func TestAccountThatALoginMakesIsInTheAudit(t *testing.T) {
	each(t, testAccountThatALoginMakesIsInTheAudit)
}

func testAccountThatALoginMakesIsInTheAudit(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	b := w.browser(t)
	b.logIn()
	b.logIn() // which makes none
	created := w.events(t, audit.AccountCreated)
	if len(created) != 1 || created[0].Subject != w.find(t, b).Account.Subject || created[0].Method != "card" {
		t.Errorf("accounts created = %+v, want one, by the card", created)
	}
}

func TestStructuresOfCardsAreNoted(t *testing.T) { each(t, testStructuresOfCardsAreNoted) }

func testStructuresOfCardsAreNoted(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	for _, at := range []store.Structure{{}, {ID: "10B0057881", Name: "HOPITAL"}, {ID: "10B0057881", Name: "HÔPITAL"}, {ID: "1750100018"}} {
		proof := martin()
		proof.StructureID, proof.StructureName = at.ID, at.Name
		w.method.believe(proof)
		w.browser(t).logIn()
	}
	account, err := w.store.FindAccount(t.Context(), martin().NationalID)
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.store.StructuresOf(t.Context(), account.Subject)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.Structure{{ID: "10B0057881", Name: "HÔPITAL"}, {ID: "1750100018"}}, got); diff != "" {
		t.Errorf("structures (-want +got):\n%s", diff)
	}
}
