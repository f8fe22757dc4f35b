package accountfile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"promess/authgw/certs"
	"promess/authgw/internal/accountfile"
	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
)

func jeanne() store.Entry {
	return store.Entry{
		IDType: "RPPS", NationalID: "899700218896", GivenName: "Jeanne", FamilyName: "Martin", Profession: "10",
		Nominative: []string{"jeanne.martin@hopital.mssante.example"}, Organisational: []string{"accueil@hopital.mssante.example"},
		Structures: []store.Structure{{ID: "10B0057881", Name: "HÔPITAL DES 3 DAMES"}}, Address: "jeanne@example.fr", State: "active",
	}
}

// protected are the domains that the gateway of these tests opens mailboxes of.
func protected() []string { return []string{"promess.example"} }

// columns are those of problems.
func columns(problems []accountfile.Problem) []string {
	var all []string
	for _, p := range problems {
		all = append(all, p.Column)
	}
	return all
}

func TestCheck(t *testing.T) {
	if got := accountfile.Check(jeanne(), protected()); len(got) > 0 {
		t.Fatalf("Check of an entry that is right = %+v", got)
	}
	for _, tt := range []struct {
		name   string
		change func(*store.Entry)
		want   string
	}{
		{"no type", func(e *store.Entry) { e.IDType = "" }, "id_type"},
		{"a type in lower case", func(e *store.Entry) { e.IDType = "rpps" }, "id_type"},
		{"an RPPS number without the digit of its type", func(e *store.Entry) { e.NationalID = "10101234567" }, "national_id"},
		{"an RPPS number that is too short", func(e *store.Entry) { e.NationalID = "89970021889" }, "national_id"},
		{"the identifier of another type", func(e *store.Entry) { e.NationalID = "0751234567" }, "national_id"},
		{"no identifier", func(e *store.Entry) { e.NationalID = "" }, "national_id"},
		{"A24: a space before the identifier", func(e *store.Entry) { e.NationalID = " 899700218896" }, "national_id"},
		{"A24: digits of another script", func(e *store.Entry) { e.NationalID = "８99700218896" }, "national_id"},
		{"a line end in the identifier", func(e *store.Entry) { e.IDType, e.NationalID = "FINESS", "30B0057881\n/1" }, "national_id"},
		{"no given name", func(e *store.Entry) { e.GivenName = "" }, "given_name"},
		{"a control character in a name", func(e *store.Entry) { e.FamilyName = "Mar\x1btin" }, "family_name"},
		{"a mark that turns the writing around", func(e *store.Entry) { e.FamilyName = "Mar\u202etin" }, "family_name"},
		{"a name of bytes", func(e *store.Entry) { e.FamilyName = "Mar\xfftin" }, "family_name"},
		{"a name with a space after it", func(e *store.Entry) { e.FamilyName = "Martin " }, "family_name"},
		{"a name as long as a book", func(e *store.Entry) { e.FamilyName = strings.Repeat("é", 201) }, "family_name"},
		{"a profession in words", func(e *store.Entry) { e.Profession = "médecin" }, "profession"},
		{"F8: two @", func(e *store.Entry) { e.Nominative = []string{"jeanne@evil.example@hopital.mssante.example"} }, "mailboxes"},
		{"F8: no @", func(e *store.Entry) { e.Nominative = []string{"jeanne"} }, "mailboxes"},
		{"F8: an @ in quotes", func(e *store.Entry) { e.Nominative = []string{`"a@b"@mssante.example`} }, "mailboxes"},
		{"an empty mailbox", func(e *store.Entry) { e.Nominative = []string{""} }, "mailboxes"},
		{"a mailbox with a name before it", func(e *store.Entry) { e.Nominative = []string{"Jeanne <j@mssante.example>"} }, "mailboxes"},
		{"a header in a mailbox", func(e *store.Entry) { e.Nominative = []string{"j@mssante.example\r\nBcc: x@x.example"} }, "mailboxes"},
		{"a domain without a dot", func(e *store.Entry) { e.Nominative = []string{"j@localhost"} }, "mailboxes"},
		{"a mailbox twice, in another case", func(e *store.Entry) { e.Nominative = append(e.Nominative, "JEANNE.martin@hopital.mssante.example") }, "mailboxes"},
		{"a mailbox of both kinds", func(e *store.Entry) { e.Organisational = e.Nominative }, "organisational_mailboxes"},
		{"a structure without a name", func(e *store.Entry) { e.Structures[0].Name = "" }, "structures"},
		{"a structure without an identifier", func(e *store.Entry) { e.Structures[0].ID = "" }, "structures"},
		{"a structure twice", func(e *store.Entry) { e.Structures = append(e.Structures, e.Structures[0]) }, "structures"},
		{"F8: two @ in the ordinary address", func(e *store.Entry) { e.Address = "a@b.example@c.example" }, "address"},
		{"D2: an ordinary address in the domain of a mailbox", func(e *store.Entry) { e.Address = "me@HOPITAL.mssante.example" }, "address"},
		{"D2: an ordinary address below the domain of a mailbox", func(e *store.Entry) { e.Address = "me@b.hopital.mssante.example" }, "address"},
		{"D2: an ordinary address in the domain of a shared mailbox", func(e *store.Entry) {
			e.Nominative, e.Organisational, e.Address = nil, []string{"accueil@cabinet.example"}, "me@cabinet.example"
		}, "address"},
		{"D2: an ordinary address in a domain that is protected", func(e *store.Entry) { e.Address = "me@ProMess.example" }, "address"},
		{"D2: an ordinary address below a domain that is protected", func(e *store.Entry) { e.Address = "me@cabinet.promess.example" }, "address"},
		{"D2: an ordinary address that is protected, without mailboxes", func(e *store.Entry) {
			e.Nominative, e.Organisational, e.Address = nil, nil, "me@promess.example"
		}, "address"},
		{"F8: an ordinary address at a number", func(e *store.Entry) { e.Address = "me@192.0.2.1" }, "address"},
		{"a state of another kind", func(e *store.Entry) { e.State = "deleted" }, "state"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := jeanne()
			tt.change(&e)
			if got := columns(accountfile.Check(e, protected())); !slices.Equal(got, []string{tt.want}) {
				t.Errorf("columns of the problems = %q, want %q", got, tt.want)
			}
		})
	}
}

// An account is reached by a card whose holder has its type and identifier: what is accepted here is what package certs reads from a
// card, under the same type.
func TestIdentifiersAreThoseOfCards(t *testing.T) {
	pki, err := testpki.New(testpki.Config{CardsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	types := []string{"ADELI", "ADELI_CABINET", "DRASS", "FINESS", "SIREN", "SIRET", "RPPS_CABINET", "RPPS", "STUDENT"}
	for _, id := range []string{
		"899700218896", "810101234567", "0751234567", "02A1234567", "00B6087510", "1751234567/0001", "2751234567", "30B0057881/CPET0002",
		"4123456789/1", "512345678900012/1", "6123456789/1", "9123456789",
	} {
		cert, err := pki.Authentication(testpki.Card{NationalID: id}, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		holder, err := certs.ReadHolder(cert)
		if err != nil {
			t.Fatal(err)
		}
		for _, idType := range types {
			e := jeanne()
			e.IDType, e.NationalID = idType, id
			if got, want := len(accountfile.Check(e, protected())) == 0, idType == holder.IDType; got != want {
				t.Errorf("Check of %s %s accepts it: %t, want %t: the card says %s", idType, id, got, want, holder.IDType)
			}
		}
	}
}
