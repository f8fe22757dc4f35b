package card_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
)

// Services are allowed by structure: the account has the one that is written on the card.
func TestStructureOfTheCardIsNoted(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{Kind: testpki.CPE, NationalID: "30B0057881/CPET0002", StructureID: "10B0057881", StructureName: "HOPITAL DES 3 DAMES"})
	w.logIn(t, w.browser(t, nil), w.agent(t, &cert, 0))
	account, err := w.store.AccountByNationalID(t.Context(), "FINESS", "30B0057881/CPET0002")
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.store.StructuresOf(t.Context(), account.Subject)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.Structure{{ID: "10B0057881", Name: "HOPITAL DES 3 DAMES"}}, got); diff != "" {
		t.Errorf("structures (-want +got):\n%s", diff)
	}
}
