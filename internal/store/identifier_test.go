package store_test

import (
	"strings"
	"testing"

	"promess/authgw/internal/store"
)

// Lessons D4 and D17: whatever a person types, and however, it is one account. A24: nobody else's.
func TestD17AccountByIdentifier(t *testing.T) { each(t, testD17AccountByIdentifier) }

func testD17AccountByIdentifier(t *testing.T, s *store.Store) {
	add := func(e store.Entry) {
		t.Helper()
		e.GivenName, e.FamilyName = "JEANNE", "MARTIN"
		carry(t, s, plan(t, s, 1, 0, 0, e))
	}
	add(store.Entry{
		IDType: "RPPS", NationalID: "810101234567", LoginName: "jmartin",
		Nominative: []string{"Jeanne.Martin@hopital.mssante.example"}, Organisational: []string{"accueil@hopital.mssante.example"},
	})
	add(store.Entry{IDType: "ADELI", NationalID: "02A0012345", Organisational: []string{"accueil@hopital.mssante.example", "urgences@hopital.mssante.example"}, Address: "jeanne@example.fr"})
	add(store.Entry{IDType: "RPPS", NationalID: "800000000001"})
	add(store.Entry{IDType: "ADELI", NationalID: "0000000001", LoginName: "0000000001x"})
	add(store.Entry{IDType: "SIREN", NationalID: "4123456789"})
	for _, tt := range []struct{ typed, want string }{
		{"810101234567", "810101234567"},
		{"8 10101 23456 7", "810101234567"},
		{"10101234567", "810101234567"}, // as it is printed, without the digit of its type
		{" 101 0123 4567\u00a0\t", "810101234567"},
		{"jmartin", "810101234567"},
		{"JMartin", "810101234567"},
		{" jmartin ", "810101234567"},
		{"jeanne.martin@hopital.mssante.example", "810101234567"},
		{"JEANNE.MARTIN@Hopital.MSSante.example", "810101234567"},
		{"02A0012345", "02A0012345"},
		{"02a0012345", "02A0012345"},
		{"2A0012345", "02A0012345"},
		{"0000000001X", "0000000001"},
		{"", ""},
		{" ", ""},
		{"0", ""},
		{"jmarti", ""},
		{"%", ""},
		{"jmartin\x00", ""},
		{"ĳmartin", ""},
		{"JMARTİN", ""},                          // U+0130 is no i
		{"\uff11\uff10101234567", ""},            // digits of another width
		{"accueil@hopital.mssante.example", ""},  // several persons'
		{"urgences@hopital.mssante.example", ""}, // neither is it a person's own when only one has it
		{"jeanne@example.fr", ""},                // the ordinary address is no identifier
		{"martin", ""},
		{"4123456789", ""}, // neither RPPS nor ADELI
		{"0810101234567", ""},
		{strings.Repeat("8", 100_000), ""},
	} {
		a, err := s.AccountByIdentifier(t.Context(), tt.typed)
		if tt.want == "" {
			check(t, "AccountByIdentifier of "+tt.typed[:min(len(tt.typed), 40)], err, store.ErrNotFound)
		} else if err != nil || a.NationalID != tt.want {
			t.Errorf("AccountByIdentifier(%q) = %q, %v, want %q", tt.typed, a.NationalID, err, tt.want)
		}
	}
	for _, same := range [][]string{
		{"810101234567", "10101234567", "8 1010 1234 567", "101 0123 4567"}, {"JMartin", "jmartin", " j martin"},
		{"2A0012345", "02a0012345"}, {"A@b.example", "a@B.example"},
	} {
		for _, typed := range same[1:] {
			if got, want := store.NormalIdentifier(typed), store.NormalIdentifier(same[0]); got != want || got == "" {
				t.Errorf("NormalIdentifier(%q) = %q, want %q as of %q", typed, got, want, same[0])
			}
		}
	}
}

// A25: of two matches, neither.
func TestA25IdentifierOfTwoAccounts(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		s := open(t, name)
		account(t, s)
		other := jeanne()
		other.Subject, other.IDType = "u-other", "ADELI"
		if _, err := s.OpenAccount(t.Context(), other, noon); err != nil {
			t.Fatal(err)
		}
		e.exec(t, name, "UPDATE accounts SET national_id = '810101234567'") // as no checked entry would
		_, err := s.AccountByIdentifier(t.Context(), "810101234567")
		check(t, "AccountByIdentifier", err, store.ErrNotFound)
	})
}

func TestLoginNames(t *testing.T) {
	for name, want := range map[string]bool{
		"jmartin": true, "j.martin-2_b": true, "m1": true, "123456": true, "12345678": true, strings.Repeat("a", 64): true, "2026martin": true,
		"": false, "a": false, strings.Repeat("a", 65): false, "JMartin": false, "j martin": false, "jéanne": false, "j@example.fr": false, "-": false,
		"810101234567": false, "10101234567": false, "751234567": false, "0751234567": false, "2a0012345": false, "02b0012345": false,
	} {
		if got := store.IsLoginName(name); got != want {
			t.Errorf("IsLoginName(%q) = %t, want %t", name, got, want)
		}
	}
}

// Two accounts never have one login name, whoever writes.
func TestLoginNameIsOnePersons(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		s := open(t, name)
		account(t, s)
		other := jeanne()
		other.Subject, other.NationalID = "u-other", "2"
		if _, err := s.OpenAccount(t.Context(), other, noon); err != nil {
			t.Fatal(err)
		}
		db := e.behind(t, name)
		if _, err := db.ExecContext(t.Context(), "UPDATE accounts SET login_name = 'one'"); err == nil {
			t.Error("two accounts have one login name")
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE accounts SET login_name = 'One' WHERE subject = 'u-other'"); err == nil {
			t.Error("a login name has capitals")
		}
	})
}

func TestImportOfLoginNames(t *testing.T) { each(t, testImportOfLoginNames) }

func testImportOfLoginNames(t *testing.T, s *store.Store) {
	jeanne, paul := entry(), entry()
	paul.NationalID = "810101234567"
	jeanne.LoginName = "jmartin"
	carry(t, s, plan(t, s, 2, 0, 0, jeanne, paul))
	jeanne.LoginName = "" // says nothing of it
	plan(t, s, 0, 0, 2, jeanne, paul)
	if got := record(t, s, jeanne.NationalID).Account.LoginName; got != "jmartin" {
		t.Errorf("login name = %q, want jmartin", got)
	}
	paul.LoginName = "jmartin"
	p, err := s.PlanImport(t.Context(), []store.Entry{jeanne, paul})
	check(t, "PlanImport", err, nil)
	diff(t, "conflicts", p.Conflicts, []store.Conflict{{Entry: 1, Column: "login_name", Text: "is the login name of another account"}})
	jeanne.LoginName = "jmartin"
	if p, err := s.PlanImport(t.Context(), []store.Entry{jeanne, paul}); err == nil {
		t.Errorf("PlanImport of one login name for two = %+v, want an error", p)
	}
	jeanne.LoginName = "jeanne"
	carry(t, s, plan(t, s, 0, 1, 0, jeanne))
	carry(t, s, plan(t, s, 0, 1, 1, jeanne, paul))
	a, err := s.AccountByIdentifier(t.Context(), "JMARTIN")
	if err != nil || a.NationalID != paul.NationalID {
		t.Errorf("AccountByIdentifier = %q, %v, want that of %q", a.NationalID, err, paul.NationalID)
	}
}
