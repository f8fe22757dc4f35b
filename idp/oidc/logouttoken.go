package oidc

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
)

const (
	// logoutTokenLife is how long a client may take to look at a logout token (OpenID Connect Back-Channel Logout 1.0, section 4: "at most two
	// minutes in the future").
	logoutTokenLife = 2 * time.Minute
	logoutTokenType = "logout+jwt" // section 2.4
	logoutEvent     = "http://schemas.openid.net/event/backchannel-logout"
	maxAnswer       = 4 << 10 // bytes that are read of what a client answers
)

// logoutClaims are those of a logout token (section 2.4). It has no nonce, so that it never passes for an ID token.
type logoutClaims struct {
	jwt.Claims
	SID    string              `json:"sid"`
	Events map[string]struct{} `json:"events"`
}

// token signs what a client is told, anew at each try: one that was lost on the way back may have been taken.
func (b *BackChannel) token(ctx context.Context, c *client.Client, v store.QueuedLogout) (string, error) {
	key, err := b.config.Ring.Signing(ctx, c.Signing)
	if err != nil {
		return "", err
	}
	jws, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Alg), Key: jose.JSONWebKey{Key: key.Signer, KeyID: key.ID}},
		(&jose.SignerOptions{}).WithType(logoutTokenType))
	if err != nil {
		return "", fmt.Errorf("make signer of logout tokens: %w", err)
	}
	now := b.config.Now()
	signed, err := jwt.Signed(jws).Claims(logoutClaims{
		Claims: jwt.Claims{
			Issuer: b.config.Issuer, Subject: subjectOf(b.config.Ring, c, v.Subject), Audience: jwt.Audience{c.ID}, ID: strings.ToLower(rand.Text()),
			IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(logoutTokenLife)),
		},
		SID: v.SID, Events: map[string]struct{}{logoutEvent: {}},
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign logout token: %w", err)
	}
	return signed, nil
}

// badStatus is what a client answers when it has not understood.
type badStatus int

func (s badStatus) Error() string { return fmt.Sprintf("it answers with status %d", int(s)) }

// send posts a logout token to a client (section 2.5). Its errors have no piece of the token or of the answer.
func (b *BackChannel) send(ctx context.Context, c *client.Client, signed string) error {
	ctx, done := context.WithTimeout(ctx, tellTimeout)
	defer done()
	form := url.Values{"logout_token": {signed}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.BackChannel, strings.NewReader(form))
	if err != nil {
		return errors.New("its URL cannot be read") // unreachable: it was checked
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "authgw")
	// A transport of its own: no connection is used again that was opened by another client's rules.
	transport := b.transport(c)
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(r) // follows no redirect (F10)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, maxAnswer) // so that its connection ends in good order; what it says does not matter
	// Section 2.8: 200. "some Web frameworks will substitute an HTTP 204 No Content response".
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
		return badStatus(res.StatusCode)
	}
	return nil
}

// errForbiddenAddress says that a client's name leads where it may not be told.
var errForbiddenAddress = errors.New("its name leads to a private address; when it is really there, put its network into backchannel_networks")

func (b *BackChannel) transport(c *client.Client) *http.Transport {
	dialer := &net.Dialer{
		Timeout: tellTimeout,
		// F10. Asked about the address that is connected to, whatever a name has led to a moment before (DNS rebinding).
		Control: func(_, address string, _ syscall.RawConn) error { return mayDial(c, address) },
	}
	return &http.Transport{
		Proxy: nil, DialContext: dialer.DialContext, DisableKeepAlives: true, DisableCompression: true,
		TLSHandshakeTimeout: tellTimeout, ResponseHeaderTimeout: tellTimeout, MaxResponseHeaderBytes: 16 << 10,
		TLSClientConfig: &tls.Config{RootCAs: b.config.Roots, MinVersion: tls.VersionTLS12},
	}
}

// mayDial says whether a client may be told at an address: where it may be, and not at this machine itself, unless its networks say so.
func mayDial(c *client.Client, address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !c.MayTell(at.Addr()) {
		return errForbiddenAddress
	}
	a := at.Addr().Unmap()
	if slices.ContainsFunc(c.BackChannelPrivate, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return nil
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return errForbiddenAddress // who we are is not known
	}
	for _, n := range own {
		if p, err := netip.ParsePrefix(n.String()); err == nil && p.Addr().Unmap() == a {
			return errForbiddenAddress
		}
	}
	return nil
}
