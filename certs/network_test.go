package certs_test

import (
	"crypto/x509"
	"net"
	"sync/atomic"
	"testing"

	"promess/authgw/certs"
	"promess/authgw/internal/testpki"
)

// A14: the attacker presents a certificate whose URLs point into our network, or at a slow server. Nothing is ever fetched, neither
// from a certificate of an unknown issuer nor from one that is accepted.
func TestNoAddressOfACertificateIsEverUsed_A14(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var visits atomic.Int32
	done := make(chan struct{})
	go func() { // ends with the listener
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			visits.Add(1)
			conn.Close()
		}
	}()
	point := func(c *x509.Certificate) {
		c.CRLDistributionPoints = []string{"http://" + ln.Addr().String() + "/a.crl", "ldap://" + ln.Addr().String() + "/cn=a"}
		c.OCSPServer = []string{"http://" + ln.Addr().String() + "/ocsp"}
		c.IssuingCertificateURL = []string{"http://" + ln.Addr().String() + "/a.cer"}
	}
	stranger := newAuthority(t, "AC RACINE DE PERSONNE", nil, nil)
	unsure := newVerifier(t, func(c *certs.Config) { c.CRLs = nil })
	wantReason(t, newVerifier(t, nil), card(t, change(point)), "")
	wantReason(t, unsure, card(t, change(point)), certs.ReasonRevocationUnknown)
	wantReason(t, unsure, card(t, testpki.Card{Issuer: stranger, Change: point}), certs.ReasonUnknownIssuer)

	// A connection that was made before this one is accepted before it.
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the listener answered")
	}
	ln.Close()
	<-done
	if got := visits.Load(); got != 1 {
		t.Errorf("%d connections, want the one of this test", got)
	}
}
