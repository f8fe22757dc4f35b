package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	lib "github.com/zitadel/oidc/v3/pkg/oidc"

	"promess/authgw/internal/client"
)

// claimed is who a request says to be from, and what it proves that with.
type claimed struct {
	id          string
	by          client.Auth
	secret      string
	assertion   string
	certificate *x509.Certificate
}

// authenticate returns the client that a request at an endpoint is from, which has proved itself in the way that is its own (RFC 6749, section
// 2.3; OpenID Connect Core 1.0, section 9; RFC 8705, section 2.2). A public one has nothing to prove itself with, and says who it is. The
// parameters are in r.PostForm afterwards. The error is for deny.
func (p *Provider) authenticate(r *http.Request) (*client.Client, error) {
	form, err := formOf(r)
	if err != nil {
		return nil, err
	}
	who, err := claimOf(r, form)
	if err != nil {
		return nil, err
	}
	c, err := p.Clients.Client(r.Context(), who.id)
	switch {
	case errors.Is(err, client.ErrUnknown):
		return nil, unproved("", "client_unknown")
	case err != nil:
		return nil, err
	case c.Auth != who.by:
		return nil, unproved(c.ID, "other_method")
	}
	switch c.Auth {
	case client.Public:
	case client.SharedSecret:
		if !c.ProvedBy(who.secret) { // in constant time (G5)
			return nil, unproved(c.ID, "bad_secret")
		}
	case client.PrivateKeyJWT:
		if err := p.verifyAssertion(r.Context(), c, who.assertion, p.audiences(r.URL.Path)); err != nil {
			return nil, err
		}
	case client.TLSClientAuth:
		if reason := badCertificate(c, who.certificate, p.Now()); reason != "" {
			return nil, unproved(c.ID, reason)
		}
	default:
		return nil, unproved(c.ID, "other_method") // unreachable: a client is checked where it is made
	}
	return c, nil
}

// unproved is the denial of a client that did not prove itself. It says no more than that: why is in the audit.
func unproved(id, reason string) error {
	return &denial{code: invalidClient, description: "client authentication failed", reason: reason, client: id}
}

// claimOf reads who a request says to be from. It uses one way to prove it, or none (RFC 6749, section 2.3: "The client MUST NOT use more than
// one authentication method in each request").
func claimOf(r *http.Request, form url.Values) (claimed, error) {
	var all []claimed
	if len(r.Header.Values("Authorization")) > 0 {
		v, err := basic(r)
		if err != nil {
			return claimed{}, err
		}
		all = append(all, v)
	}
	if form.Has("client_secret") {
		all = append(all, claimed{id: form.Get("client_id"), by: client.SharedSecret, secret: form.Get("client_secret")})
	}
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		if form.Get("client_assertion_type") != lib.ClientAssertionTypeJWTAssertion {
			return claimed{}, &denial{code: invalidRequest, description: "client_assertion_type is not that of RFC 7523"}
		}
		all = append(all, claimed{id: issuerOf(form.Get("client_assertion")), by: client.PrivateKeyJWT, assertion: form.Get("client_assertion")})
	}
	if on, _ := r.Context().Value(certHost{}).(bool); on {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return claimed{}, unproved("", "no_certificate")
		}
		all = append(all, claimed{id: form.Get("client_id"), by: client.TLSClientAuth, certificate: r.TLS.PeerCertificates[0]})
	}
	if len(all) > 1 {
		return claimed{}, &denial{code: invalidRequest, description: "more than one way of client authentication", reason: "two_methods"}
	}
	if len(all) == 0 {
		all = append(all, claimed{id: form.Get("client_id"), by: client.Public})
	}
	who := all[0]
	if who.id == "" {
		return claimed{}, unproved("", "client_unknown")
	}
	if form.Has("client_id") && form.Get("client_id") != who.id {
		return claimed{}, &denial{code: invalidRequest, description: "client_id is not that of the client authentication", reason: "two_clients"}
	}
	return who, nil
}

// basic reads an id and a secret, each "encoded using the application/x-www-form-urlencoded encoding algorithm" (RFC 6749, section 2.3.1).
func basic(r *http.Request) (claimed, error) {
	user, password, ok := r.BasicAuth()
	if !ok || len(r.Header.Values("Authorization")) > 1 {
		return claimed{}, unproved("", "bad_header")
	}
	id, err := url.QueryUnescape(user)
	if err != nil {
		return claimed{}, unproved("", "bad_header")
	}
	secret, err := url.QueryUnescape(password)
	if err != nil {
		return claimed{}, unproved("", "bad_header")
	}
	return claimed{id: id, by: client.SharedSecret, secret: secret}, nil
}

// badCertificate says why a certificate does not prove that somebody is a client: the word for the audit; empty: it does. That its key was used
// for the handshake, crypto/tls has made sure of; who has signed it does not matter (RFC 8705, section 2.2).
func badCertificate(c *client.Client, cert *x509.Certificate, now time.Time) string {
	sum := sha256.Sum256(cert.Raw)
	switch {
	case !c.Certificates[strings.ToLower(hex.EncodeToString(sum[:]))]:
		return "other_certificate"
	case now.Before(cert.NotBefore):
		return "not_yet_valid"
	case now.After(cert.NotAfter):
		return "expired"
	}
	return ""
}

// audiences are the names by which a client may mean us at an endpoint.
func (p *Provider) audiences(path string) []string {
	all := []string{p.Issuer, p.Issuer + path}
	if path == parPath { // RFC 9126, section 2: it "MUST accept its issuer identifier, token endpoint URL, or pushed authorization request endpoint URL"
		all = append(all, p.Issuer+tokenPath)
	}
	return all
}

// verifyAssertion verifies a JWT by which a client proves itself (RFC 7523, section 3), for one of some audiences, and uses it up.
func (p *Provider) verifyAssertion(ctx context.Context, c *client.Client, assertion string, audiences []string) error {
	a, reason := readAssertion(c, assertion)
	if reason == "" {
		reason = a.wrong(c.ID, audiences, p.Now())
	}
	if reason != "" {
		return unproved(c.ID, reason)
	}
	err := p.useAssertion(ctx, c.ID, a)
	if errors.Is(err, errUsed) {
		return unproved(c.ID, "replayed")
	}
	return err
}
