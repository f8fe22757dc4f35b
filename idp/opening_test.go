package idp_test

import (
	"errors"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
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

// disabling is asked what a browser is known by, during a login that an administrator disables the account in.
type disabling struct {
	t *testing.T
	w *world
}

func (d disabling) Know(_ *http.Request, subject string) (store.KnownBrowser, *http.Cookie, error) {
	if _, err := d.w.store.DisableAccount(d.t.Context(), subject, d.w.now()); err != nil {
		d.t.Error(err)
	}
	return store.KnownBrowser{Hash: token.Hash{1}, Expires: d.w.now().Add(time.Hour)}, nil, nil
}

// D14: who is disabled between the look at the account and the session gets none, and is told why.
func TestD14DisabledDuringTheLogin(t *testing.T) { each(t, testD14DisabledDuringTheLogin) }

func testD14DisabledDuringTheLogin(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	w.idp.Browsers = disabling{t, w}
	b := w.browser(t)
	w.wantRefused(t, b, b.post(auth+"/login/card"), textDisabled, "account_disabled")
	for _, kind := range []audit.Kind{audit.LoginSucceeded, audit.SessionOpened} {
		if all := w.events(t, kind); len(all) > 0 {
			t.Errorf("%s in the audit: %+v, want none", kind, all)
		}
	}
}

// full is a disk without room for another line.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// Without its line in the audit there is no login: no session is left that somebody could find, and the one that the browser had goes on.
func TestLoginThatCannotBeRecorded(t *testing.T) { each(t, testLoginThatCannotBeRecorded) }

func testLoginThatCannotBeRecorded(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	b := w.browser(t)
	b.logIn()
	before := w.find(t, b)
	w.idp.Audit = audit.New(full{}, w.now)
	b.post(auth+"/login/card").wantError(t, http.StatusServiceUnavailable, "")
	if got := w.find(t, b); got.ID != before.ID {
		t.Errorf("the browser has the session %s, want %s, which it had", got.ID, before.ID)
	}
	open, err := w.store.SessionsOf(t.Context(), before.Account.Subject, time.Hour, w.now())
	if err != nil || len(open) != 1 || open[0].ID != before.ID {
		t.Errorf("open sessions = %v, %v, want %s alone", open, err, before.ID)
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
