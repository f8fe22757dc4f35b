package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// entry is what an administrator says of jeanne.
func entry() store.Entry {
	return store.Entry{IDType: "RPPS", NationalID: "899700218896", GivenName: "Jeanne", FamilyName: "Martin"}
}

// plan plans an import and wants its figures.
func plan(t testing.TB, s *store.Store, added, changed, unchanged int, entries ...store.Entry) *store.Plan {
	t.Helper()
	p, err := s.PlanImport(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "added, changed, unchanged", []int{p.Added, p.Changed, p.Unchanged}, []int{added, changed, unchanged})
	return p
}

// carry does what a plan says, at noon.
func carry(t testing.TB, s *store.Store, p *store.Plan) []store.Imported {
	t.Helper()
	var all []store.Imported
	err := s.Import(t.Context(), p, func() time.Time { return noon }, func(lot []store.Imported) error {
		all = append(all, lot...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// recorded is all that the store has of an account.
type recorded struct {
	Account    store.Account
	Mailboxes  []store.Mailbox
	Structures []store.Structure
}

func record(t testing.TB, s *store.Store, reference string) recorded {
	t.Helper()
	var r recorded
	var err error
	if r.Account, err = s.FindAccount(t.Context(), reference); err != nil {
		t.Fatal(err)
	}
	if r.Mailboxes, err = s.Mailboxes(t.Context(), r.Account.Subject); err != nil {
		t.Fatal(err)
	}
	if r.Structures, err = s.StructuresOf(t.Context(), r.Account.Subject); err != nil {
		t.Fatal(err)
	}
	return r
}

// A25: what an administrator writes must mean one account; A24: it is compared exactly.
func TestFindAccount(t *testing.T) { each(t, testFindAccount) }

func testFindAccount(t *testing.T, s *store.Store) {
	a := account(t, s)
	other := jeanne() // the same number in another type: another person
	other.IDType, other.Subject, other.NationalID = "ADELI", "u-adeli", "099700218896"
	twin := other
	twin.IDType, twin.Subject = "DRASS", "u-drass"
	for _, v := range []store.Account{other, twin} {
		if _, err := s.OpenAccount(t.Context(), v, noon); err != nil {
			t.Fatal(err)
		}
	}
	for _, reference := range []string{a.Subject, a.NationalID} {
		got, err := s.FindAccount(t.Context(), reference)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "account", got, a)
	}
	for reference, want := range map[string]error{
		"099700218896": store.ErrAmbiguous, "": store.ErrNotFound, "U-JEANNE": store.ErrNotFound, "99700218896 ": store.ErrNotFound,
		"MARTIN": store.ErrNotFound, "%": store.ErrNotFound, "u-nobody": store.ErrNotFound,
	} {
		_, err := s.FindAccount(t.Context(), reference)
		check(t, fmt.Sprintf("FindAccount(%q)", reference), err, want)
	}
}

func TestEachAccount(t *testing.T) { each(t, testEachAccount) }

func testEachAccount(t *testing.T, s *store.Store) {
	carry(t, s, plan(t, s, 3, 0, 0,
		store.Entry{IDType: "RPPS", NationalID: "810000000001", GivenName: "Élise", FamilyName: "Zola", Nominative: []string{"elise.zola@mssante.example"}},
		store.Entry{IDType: "RPPS", NationalID: "810000000002", GivenName: "Paul", FamilyName: "Albert", State: store.StateDisabled},
		store.Entry{IDType: "ADELI", NationalID: "0751234567", GivenName: "Anne", FamilyName: "Martin", Address: "anne@example.fr"},
	))
	for _, tt := range []struct {
		name   string
		filter store.Filter
		want   []string
	}{
		{"all, by name", store.Filter{}, []string{"Albert", "Martin", "Zola"}},
		{"the active ones", store.Filter{State: store.StateActive}, []string{"Martin", "Zola"}},
		{"the disabled ones", store.Filter{State: store.StateDisabled}, []string{"Albert"}},
		{"a name in another case, accents too", store.Filter{Search: "éLISE zOLA"}, []string{"Zola"}},
		{"the names in the other order", store.Filter{Search: "martin ANNE"}, []string{"Martin"}},
		{"a part of an identifier", store.Filter{Search: "5123"}, []string{"Martin"}},
		{"a mailbox", store.Filter{Search: "@MSSANTE.example"}, []string{"Zola"}},
		{"an ordinary address", store.Filter{Search: "anne@"}, []string{"Martin"}},
		{"a sign that SQL knows", store.Filter{Search: "%"}, nil},
		{"both at once", store.Filter{State: store.StateDisabled, Search: "zola"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			err := s.EachAccount(t.Context(), tt.filter, func(a store.Account) error {
				got = append(got, a.FamilyName)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "accounts", got, tt.want)
		})
	}
	enough := errors.New("enough")
	seen := 0
	err := s.EachAccount(t.Context(), store.Filter{}, func(store.Account) error { seen++; return enough })
	if check(t, "EachAccount", err, enough); seen != 1 {
		t.Errorf("%d accounts after the error, want none", seen-1)
	}
}

func TestForgetAddress(t *testing.T) { each(t, testForgetAddress) }

func testForgetAddress(t *testing.T, s *store.Store) {
	a := account(t, s)
	if err := s.SetAddress(t.Context(), a.Subject, "jeanne@example.fr", noon); err != nil {
		t.Fatal(err)
	}
	if err := s.SetRegistered(t.Context(), a.Subject, noon); err != nil {
		t.Fatal(err)
	}
	since := noon.Add(time.Hour)
	if err := s.ForgetAddress(t.Context(), a.Subject, since); err != nil {
		t.Fatal(err)
	}
	diff(t, "account, which is asked again", record(t, s, a.Subject).Account, a)
	wantChange(t, s, since, store.AccountChanged, a.Subject)
	check(t, "ForgetAddress of nobody", s.ForgetAddress(t.Context(), "u-nobody", noon), store.ErrNotFound)
}

func wantChange(t *testing.T, s *store.Store, since time.Time, kind store.ChangeKind, ref string) {
	t.Helper()
	changes, err := s.Changes(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(changes, func(c store.Change) bool { return c.Kind == kind && c.Ref == ref }) {
		t.Errorf("changes = %+v, want %s of %s", changes, kind, ref)
	}
}

func TestImport(t *testing.T) { each(t, testImport) }

func testImport(t *testing.T, s *store.Store) {
	e := entry()
	e.Profession, e.Address, e.Nominative = "10", "jeanne@example.fr", []string{"j.martin@mssante.example", "jeanne@mssante.example"}
	e.Organisational = []string{"accueil@mssante.example"}
	e.Structures = []store.Structure{{ID: "1750100018", Name: "HOPITAL"}, {ID: "10B0057881", Name: "CLINIQUE"}}
	got := carry(t, s, plan(t, s, 1, 0, 0, e))
	if len(got) != 1 || !got[0].Added || len(got[0].Subject) != 26 {
		t.Fatalf("imported = %+v, want an account with a new subject", got)
	}
	want := recorded{
		Account: store.Account{
			Subject: got[0].Subject, IDType: "RPPS", NationalID: "899700218896", GivenName: "Jeanne", FamilyName: "Martin", Profession: "10",
			Structures: []string{"10B0057881", "1750100018"}, Mailbox: "j.martin@mssante.example", Address: "jeanne@example.fr",
		},
		Mailboxes: []store.Mailbox{
			{Address: "j.martin@mssante.example"}, {Address: "jeanne@mssante.example"}, {Address: "accueil@mssante.example", Organisational: true},
		},
		Structures: []store.Structure{{ID: "10B0057881", Name: "CLINIQUE"}, {ID: "1750100018", Name: "HOPITAL"}},
	}
	diff(t, "what is recorded", record(t, s, "899700218896"), want)

	t.Run("a second time it changes nothing", func(t *testing.T) {
		if got := carry(t, s, plan(t, s, 0, 0, 1, e)); len(got) != 0 {
			t.Errorf("imported = %+v, want nothing", got)
		}
	})
	t.Run("what an entry does not say stays", func(t *testing.T) {
		carry(t, s, plan(t, s, 0, 0, 1, entry()))
		diff(t, "what is recorded", record(t, s, "899700218896"), want)
	})
	t.Run("the names as a card writes them are the same names", func(t *testing.T) {
		a := want.Account
		a.GivenName, a.FamilyName = "JEANNE", "MARTIN"
		if _, err := s.RefreshAccount(t.Context(), a, noon); err != nil {
			t.Fatal(err)
		}
		plan(t, s, 0, 0, 1, e)
	})
	t.Run("another name and empty lists change it, with an announcement", func(t *testing.T) {
		e.FamilyName, e.Nominative, e.Structures = "Durand", []string{}, []store.Structure{}
		carry(t, s, plan(t, s, 0, 1, 0, e))
		want.Account.FamilyName, want.Account.Mailbox = "Durand", "accueil@mssante.example"
		want.Mailboxes, want.Structures, want.Account.Structures = want.Mailboxes[2:], nil, nil
		diff(t, "what is recorded", record(t, s, "899700218896"), want)
		wantChange(t, s, noon, store.AccountChanged, want.Account.Subject)
	})
	t.Run("an account that a login made since the plan is kept, and changed", func(t *testing.T) {
		late := store.Entry{IDType: "RPPS", NationalID: "810000000009", GivenName: "Paul", FamilyName: "Albert", Nominative: []string{"p.albert@mssante.example"}}
		p := plan(t, s, 1, 0, 0, late)
		a := store.Account{Subject: "u-paul", IDType: "RPPS", NationalID: "810000000009", GivenName: "PAUL", FamilyName: "ALBERT", Title: "Docteur"}
		if _, err := s.OpenAccount(t.Context(), a, noon); err != nil {
			t.Fatal(err)
		}
		got := carry(t, s, p)
		diff(t, "imported", got, []store.Imported{{Subject: "u-paul"}})
		a.Mailbox = "p.albert@mssante.example"
		diff(t, "account", record(t, s, "u-paul").Account, a)
	})
	t.Run("two entries about one person are refused", func(t *testing.T) {
		if p, err := s.PlanImport(t.Context(), []store.Entry{entry(), entry()}); err == nil {
			t.Errorf("PlanImport = %+v, want an error", p)
		}
	})
}

// D14: a person whom an import disables is out at once, with every session.
func TestImportDisables(t *testing.T) { each(t, testImportDisables) }

func testImportDisables(t *testing.T, s *store.Store) {
	e := entry()
	carry(t, s, plan(t, s, 1, 0, 0, e))
	a := record(t, s, e.NationalID).Account
	_, tok, _ := session(t, s, "s-1", a)
	e.State = store.StateDisabled
	got := carry(t, s, plan(t, s, 0, 1, 0, e))
	diff(t, "imported", got, []store.Imported{{Subject: a.Subject, State: store.StateDisabled, Ended: []string{"s-1"}}})
	_, err := s.SessionByToken(t.Context(), "auth.test", tok)
	check(t, "session", err, store.ErrNotFound)
	wantChange(t, s, noon, store.SessionEnded, "s-1")
	check(t, "a new session", s.CreateSession(t.Context(), store.Session{ID: "s-2", Account: a}, "auth.test", hash(t, token.Session), token.Hash{}), store.ErrNotFound)

	e.State = "" // not said: an import of something else lets nobody back in
	plan(t, s, 0, 0, 1, e)
	e.State = store.StateActive
	carry(t, s, plan(t, s, 0, 1, 0, e))
	if record(t, s, e.NationalID).Account.Disabled {
		t.Error("the account is disabled still")
	}
	_, err = s.SessionByToken(t.Context(), "auth.test", tok)
	check(t, "the session of before", err, store.ErrNotFound)
}

// A mailbox is somebody's mail. F9, A25: two persons never come to share one by a mistake in a file.
func TestImportOfSomebodyElsesMailbox(t *testing.T) { each(t, testImportOfSomebodyElsesMailbox) }

func testImportOfSomebodyElsesMailbox(t *testing.T, s *store.Store) {
	person := func(n int, mailboxes ...string) store.Entry {
		return store.Entry{IDType: "RPPS", NationalID: fmt.Sprintf("8100000000%02d", n), GivenName: "Anne", FamilyName: "Martin", Nominative: mailboxes}
	}
	first := person(1, "a.martin@mssante.example")
	first.Organisational = []string{"accueil@mssante.example"}
	carry(t, s, plan(t, s, 1, 0, 0, first))

	t.Run("of an account that keeps it, in whatever case, it is refused", func(t *testing.T) {
		p := plan(t, s, 1, 0, 0, person(2, "A.Martin@mssante.example"))
		diff(t, "conflicts", p.Conflicts, []store.Conflict{{Entry: 0, Column: "mailboxes", Text: "is the own mailbox of another account"}})
		if err := s.Import(t.Context(), p, time.Now, nil); err == nil {
			t.Error("the import worked")
		}
		_, err := s.FindAccount(t.Context(), "810000000002")
		check(t, "FindAccount", err, store.ErrNotFound)
	})
	t.Run("the database refuses it too", func(t *testing.T) {
		p := plan(t, s, 1, 0, 0, person(3, "late@mssante.example"))
		carry(t, s, plan(t, s, 1, 0, 0, person(4, "Late@mssante.example"))) // between the plan and the import
		if err := s.Import(t.Context(), p, time.Now, nil); err == nil {
			t.Error("the import worked")
		}
		_, err := s.FindAccount(t.Context(), "810000000003")
		check(t, "FindAccount after the failure", err, store.ErrNotFound)
	})
	t.Run("those of an organisation are shared", func(t *testing.T) {
		e := person(5)
		e.Organisational = []string{"accueil@mssante.example"}
		carry(t, s, plan(t, s, 1, 0, 0, e))
	})
	t.Run("an import that takes it from one gives it to the other, whatever the order", func(t *testing.T) {
		carry(t, s, plan(t, s, 2, 0, 0, person(6, "x@mssante.example"), person(7, "y@mssante.example")))
		carry(t, s, plan(t, s, 0, 2, 0, person(6, "y@mssante.example"), person(7, "x@mssante.example")))
		diff(t, "mailbox", record(t, s, "810000000006").Account.Mailbox, "y@mssante.example")
		diff(t, "mailbox", record(t, s, "810000000007").Account.Mailbox, "x@mssante.example")
		carry(t, s, plan(t, s, 0, 2, 0, person(7, "y@mssante.example"), person(6, []string{}...)))
		diff(t, "mailbox", record(t, s, "810000000006").Account.Mailbox, "")
		wantChange(t, s, noon, store.AccountChanged, record(t, s, "810000000006").Account.Subject)
	})
	t.Run("one person does not have it as both kinds", func(t *testing.T) {
		e := person(1)
		e.Organisational = []string{"A.MARTIN@mssante.example"}
		p := plan(t, s, 0, 1, 0, e)
		if len(p.Conflicts) != 1 || p.Conflicts[0].Column != "organisational_mailboxes" {
			t.Errorf("conflicts = %+v, want one", p.Conflicts)
		}
	})
}

// D2: what a file says together with what is recorded must not send codes to a mailbox that they open.
func TestD2ImportOfACircularAddress(t *testing.T) { each(t, testD2ImportOfACircularAddress) }

func testD2ImportOfACircularAddress(t *testing.T, s *store.Store) {
	boxes, address := entry(), entry()
	boxes.Nominative, boxes.Organisational = []string{"jeanne@hopital.example"}, []string{"accueil@cabinet.example"}
	carry(t, s, plan(t, s, 1, 0, 0, boxes))
	for text, want := range map[string]int{
		"jeanne@hopital.example": 1, "other@HOPITAL.example": 1, "jeanne@b.hopital.example": 1, "jeanne@cabinet.example": 1,
		"jeanne@nothopital.example": 0, "jeanne@example.fr": 0,
	} {
		address.Address = text
		p := plan(t, s, 0, 1, 0, address)
		if len(p.Conflicts) != want || want > 0 && p.Conflicts[0].Column != "address" {
			t.Errorf("conflicts of the address %q = %+v, want %d", text, p.Conflicts, want)
		}
	}
	address.Address = "jeanne@example.fr"
	carry(t, s, plan(t, s, 0, 1, 0, address))

	boxes = entry()
	boxes.Nominative = []string{"jeanne@example.fr"}
	if p := plan(t, s, 0, 1, 0, boxes); len(p.Conflicts) != 1 || p.Conflicts[0].Column != "mailboxes" {
		t.Errorf("conflicts of a mailbox in the domain of the address = %+v, want one", p.Conflicts)
	}
	boxes.Nominative, boxes.Organisational = nil, []string{"accueil@example.fr"}
	if p := plan(t, s, 0, 1, 0, boxes); len(p.Conflicts) != 1 || p.Conflicts[0].Column != "organisational_mailboxes" {
		t.Errorf("conflicts of a shared mailbox in the domain of the address = %+v, want one", p.Conflicts)
	}
	boxes.Address = "jeanne@example.org" // both at once is a way out
	carry(t, s, plan(t, s, 0, 1, 0, boxes))

	// As a person may have been recorded before this was looked at: they can be disabled all the same.
	a := record(t, s, "899700218896").Account
	check(t, "SetAddress", s.SetAddress(t.Context(), a.Subject, "jeanne@hopital.example", noon), nil)
	off := entry()
	off.State = store.StateDisabled
	if p := plan(t, s, 0, 1, 0, off); len(p.Conflicts) != 0 {
		t.Errorf("conflicts of who is disabled = %+v, want none", p.Conflicts)
	}
}

// Logins write meanwhile, through another handle, as a running gateway does.
func TestImportLetsLoginsIn(t *testing.T) {
	path := t.TempDir() + "/authgw.db"
	s, gateway := open(t, path), open(t, path)
	entries := people(5000)
	p, err := s.PlanImport(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	a := account(t, gateway)
	over := make(chan error, 1)
	go func() {
		over <- s.Import(t.Context(), p, time.Now, func([]store.Imported) error { return nil })
	}()
	for i := 0; ; i++ {
		select {
		case err := <-over:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
			session(t, gateway, fmt.Sprintf("s-%d", i), a)
		}
	}
}

// people are n entries, each with a mailbox and a structure.
func people(n int) []store.Entry {
	all := make([]store.Entry, n)
	for i := range all {
		all[i] = store.Entry{
			IDType: "RPPS", NationalID: fmt.Sprintf("8100%08d", i), GivenName: "Anne", FamilyName: fmt.Sprintf("Martin-%d", i), Profession: "10",
			Nominative: []string{fmt.Sprintf("anne.martin%d@mssante.example", i)}, Structures: []store.Structure{{ID: "10B0057881", Name: "HOPITAL"}},
		}
	}
	return all
}

// The issue asks for 100,000 accounts in a minute on SQLite.
func BenchmarkImport(b *testing.B) {
	const n = 100_000
	entries := people(n)
	b.ReportAllocs()
	for b.Loop() {
		s := newStore(b)
		write := func(entries []store.Entry) {
			p, err := s.PlanImport(context.Background(), entries)
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Import(context.Background(), p, time.Now, func([]store.Imported) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
		write(entries)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "accounts/s")
}
