package oidc

import (
	"crypto/rand"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	lib "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

const (
	deviceLife  = 10 * time.Minute // for a person to find a browser, sign in and agree
	devicePause = 5 * time.Second  // between two questions of a device (RFC 8628, section 3.2)

	// A user code is eight letters without vowels, so that it is no word, nor one letter for another: 34 bits (RFC 8628, section 6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
	// userCodeTries bounds how often another code is made when one is taken.
	userCodeTries = 5
)

// Codes of denials that a device gets while it waits (RFC 8628, section 3.5).
const (
	authorizationPending = "authorization_pending"
	slowDown             = "slow_down"
	accessDenied         = "access_denied"
	expiredToken         = "expired_token"
)

// deviceAuthorization gives a device the code that it asks with, and the one that its person types elsewhere (RFC 8628, section 3.1).
func (p *Provider) deviceAuthorization(w http.ResponseWriter, r *http.Request) {
	c, err := p.authenticate(r)
	if err != nil {
		p.deny(w, r, err)
		return
	}
	scopes, err := deviceScopes(r.PostForm, c)
	if err != nil {
		p.deny(w, r, err)
		return
	}
	if !p.devices.Allow(idp.Source(r), p.Now()) { // a public client has nothing to prove itself with, so anybody may ask
		w.Header().Set("Retry-After", "5")
		reply(w, http.StatusTooManyRequests, map[string]string{"error": "temporarily_unavailable", "error_description": "too many devices ask from this network"})
		return
	}
	deviceCode, userCode, err := p.addDevice(r, c, scopes)
	if err != nil {
		p.fault(w, r, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{
		"device_code": deviceCode, "user_code": userCode, "verification_uri": p.Issuer + userCodePath,
		"verification_uri_complete": p.Issuer + queryOf(userCodePath, "user_code", userCode),
		"expires_in":                int(deviceLife.Seconds()), "interval": int(devicePause.Seconds()),
	})
}

// deviceScopes returns what a client's device asks for, if the client may have devices.
func deviceScopes(form url.Values, c *client.Client) ([]string, error) {
	if !c.Device {
		return nil, noDevices(c)
	}
	scopes, err := scopesOf(form, c)
	var known *refusal
	if errors.As(err, &known) {
		err = &denial{code: known.Code, description: known.Description, client: c.ID}
	}
	return scopes, err
}

func noDevices(c *client.Client) error {
	return &denial{code: unauthorizedClient, description: "the client may not use the device authorization grant", client: c.ID}
}

// addDevice writes a device down, and returns its codes.
func (p *Provider) addDevice(r *http.Request, c *client.Client, scopes []string) (deviceCode, userCode string, err error) {
	now := p.Now()
	deviceCode = token.New()
	hash, _ := token.Of(token.Device, deviceCode)
	d := store.Device{
		Hash: hash, Client: c.ID, Scopes: scopes, Source: idp.Source(r), Created: now, Expires: now.Add(deviceLife), Pause: devicePause,
	}
	for range userCodeTries {
		if userCode, err = newUserCode(); err != nil {
			return "", "", err
		}
		d.UserCode = p.userCodeMAC(userCode)
		if err = p.Store.AddDevice(r.Context(), d); !errors.Is(err, store.ErrExists) {
			break
		}
	}
	return deviceCode, userCode, err
}

// newUserCode returns a code as it is shown: XXXX-XXXX.
func newUserCode() (string, error) {
	var b strings.Builder
	for i := range userCodeLength {
		if i == userCodeLength/2 {
			b.WriteByte('-')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(userCodeLetters))))
		if err != nil {
			return "", err // unreachable: crypto/rand never fails
		}
		b.WriteByte(userCodeLetters[n.Int64()])
	}
	return b.String(), nil
}

// readUserCode returns a code as it is shown, of what a person typed: "processing should strip dashes and other punctuation" and ignore case (RFC
// 8628, section 6.1). ok is false when it can be none.
func readUserCode(typed string) (code string, ok bool) {
	var letters []byte
	for _, c := range strings.ToUpper(typed) {
		switch {
		case strings.ContainsRune(userCodeLetters, c):
			letters = append(letters, byte(c))
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c > 0x7f && c != '\u00a0' && (c < '\u2010' || c > '\u2015'):
			return "", false // in no code
		}
	}
	if len(letters) != userCodeLength {
		return "", false
	}
	return string(letters[:userCodeLength/2]) + "-" + string(letters[userCodeLength/2:]), true
}

// userCodeMAC is what is kept of a user code, which has too few values to be hashed without a key. The key is the ring's that is never replaced, so that
// every gateway finds what another wrote. No sector of clients is called so: these are hosts.
func (p *Provider) userCodeMAC(code string) string {
	return p.Ring.Pairwise("user code of a device", code)
}

// exchangeDevice tells a device what its person has decided, and gives it tokens when they have approved it: once (RFC 8628, section 3.4).
func (p *Provider) exchangeDevice(r *http.Request, c *client.Client) (*lib.AccessTokenResponse, error) {
	if !c.Device {
		return nil, noDevices(c)
	}
	if !r.PostForm.Has("device_code") {
		return nil, &denial{code: invalidRequest, description: "device_code is missing"}
	}
	ctx := op.ContextWithIssuer(r.Context(), p.Issuer)
	x, err := p.newExchange(r, c)
	if err != nil {
		return nil, err
	}
	request, err := storage{exchange: x}.byDeviceCode(ctx, r.PostForm.Get("device_code"))
	if err != nil {
		return nil, err
	}
	return x.issue(ctx, request, proven{party{c}}, "")
}
