package certs_test

import (
	"math/big"
	"testing"

	"promess/authgw/certs"
	"promess/authgw/internal/testpki"
)

// half is how many entries the lists of the benchmarks have: those of IGC-Santé are of that order.
const half = 500_000

// bigList signs a list of the authority of CPS with serial numbers of 16 bytes.
func bigList(t testing.TB) []byte {
	t.Helper()
	serials := make([]*big.Int, half)
	first := new(big.Int).Lsh(big.NewInt(0x41), 120)
	for i := range serials {
		serials[i] = new(big.Int).Add(first, new(big.Int).Mul(big.NewInt(int64(i)), big.NewInt(0x1_0000_0001)))
	}
	return signList(t, listOf{must(t, production).FortPersonnes, testpki.CRL{Serials: serials}})
}

func BenchmarkVerify(b *testing.B) {
	p := must(b, production)
	list, root := bigList(b), signList(b, listOf{p.FortRoot, testpki.CRL{}})
	v := newVerifier(b, func(c *certs.Config) {
		c.CRLs = must(b, func() (*certs.CRLs, error) { return certs.NewCRLs(c.Trust, list, root) })
	})
	der := card(b, testpki.Card{}).Raw
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(der); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewCRLs(b *testing.B) {
	list := bigList(b)
	trust := newTrust(b, nil, must(b, production).Authorities()...)
	b.SetBytes(int64(len(list)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := certs.NewCRLs(trust, list); err != nil {
			b.Fatal(err)
		}
	}
}
