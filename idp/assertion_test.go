package idp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/store"
)

// claims is what a service reads, written down here by its JSON names, so that a renamed field shows.
type claims struct {
	Issuer     string   `json:"iss"`
	Subject    string   `json:"sub"`
	Audience   any      `json:"aud"`
	Expiry     int64    `json:"exp"`
	NotBefore  int64    `json:"nbf"`
	IssuedAt   int64    `json:"iat"`
	ID         string   `json:"jti"`
	AuthTime   int64    `json:"auth_time"`
	ACR        string   `json:"acr"`
	AMR        []string `json:"amr"`
	SessionID  string   `json:"sid"`
	Name       string   `json:"name"`
	NationalID string   `json:"national_id"`
	IDType     string   `json:"national_id_type"`
	Profession string   `json:"profession"`
	CardType   string   `json:"card_type"`
	Email      string   `json:"email"`

	Situation map[string]string `json:"situation"`
}

// keys fetches the public keys as a service does.
func (w *world) keys(t *testing.T) jose.JSONWebKeySet {
	t.Helper()
	p := w.browser(t).get(auth + "/oauth/keys")
	if got := p.header.Get("Content-Type"); p.status != http.StatusOK || got != "application/jwk-set+json" { // RFC 7517, section 8.5.2
		t.Fatalf("keys = %d %q", p.status, got)
	}
	if strings.Contains(p.body, `"d"`) {
		t.Fatal("the key set holds a private key")
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(p.body), &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// open reads an assertion that the keys verify.
func open(t *testing.T, assertion string, keys jose.JSONWebKeySet) (*jwt.JSONWebToken, claims) {
	t.Helper()
	parsed, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var c claims
	if err := parsed.Claims(keys, &c); err != nil {
		t.Fatalf("the assertion is not verified: %v", err)
	}
	return parsed, c
}

func TestAssertionSaysWhoToOneServiceForAMinute(t *testing.T) {
	w := newWorld(t)
	b := w.inside(t)
	b.get(mail + "/")
	request := w.backend.last()
	keys := w.keys(t)
	parsed, got := open(t, request.Header.Get("X-Authgw-Assertion"), keys)
	v := w.find(t, b)
	want := claims{
		Issuer: auth, Subject: v.Account.Subject, Audience: "mail", ID: got.ID, SessionID: v.ID,
		IssuedAt: start().Unix(), NotBefore: start().Unix(), Expiry: start().Unix() + 60, AuthTime: start().Unix(),
		ACR: "urn:authgw:acr:hardware", AMR: []string{"sc", "pin", "mfa"},
		Name: "JEANNE MARTIN", NationalID: "899700218896", IDType: "RPPS", Profession: "10", CardType: "CPS",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if got.ID == "" {
		t.Error("no jti")
	}
	if h := parsed.Headers[0]; h.Algorithm != "ES256" || h.KeyID != keys.Keys[0].KeyID || h.ExtraHeaders["typ"] != "JWT" {
		t.Errorf("header = %+v, want ES256, the key of the set, and typ JWT", h)
	}
	// The headers say the same.
	for name, want := range map[string]string{
		"X-Authgw-User": v.Account.Subject, "X-Authgw-National-Id": "899700218896", "X-Authgw-Name": "JEANNE MARTIN", "X-Authgw-Acr": want.ACR,
	} {
		if got := request.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if _, ok := request.Header["X-Authgw-Email"]; ok {
		t.Error("an empty mailbox is sent")
	}
}

// The situation that the person has chosen is said as an object, and what is in it stays in it (F11).
func TestAssertionSaysTheSituation(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.logIn()
	v := w.find(t, b)
	v.ID, v.Situation = "of-another-session", `{"structure_id":"1990000012","structure_name":"H\u00d4PITAL \"A\"","sub":"somebody"}`
	signed, err := w.idp.Assertion(v, "mail")
	if err != nil {
		t.Fatal(err)
	}
	_, got := open(t, signed, w.keys(t))
	want := map[string]string{"structure_id": "1990000012", "structure_name": `HÔPITAL "A"`, "sub": "somebody"}
	if diff := cmp.Diff(want, got.Situation); diff != "" || got.Subject != v.Account.Subject {
		t.Errorf("of %s, situation (-want +got):\n%s", got.Subject, diff)
	}
	v.ID, v.Situation = "of-a-third-session", "{"
	if _, err := w.idp.Assertion(v, "mail"); err == nil {
		t.Error("a situation that is no JSON is signed")
	}
}

// F5: a service that checks what it should refuses the assertion of another service, an old one, a changed one, one without signature.
func TestF5AssertionsThatAServiceRefuses(t *testing.T) {
	w := newWorld(t)
	b := w.inside(t)
	b.get(mail + "/")
	good := w.backend.last().Header.Get("X-Authgw-Assertion")
	keys := w.keys(t)
	parsed, _ := open(t, good, keys)
	var c jwt.Claims
	if err := parsed.Claims(keys, &c); err != nil {
		t.Fatal(err)
	}
	expect := jwt.Expected{Issuer: auth, AnyAudience: jwt.Audience{"mail"}, Time: start()}
	if err := c.ValidateWithLeeway(expect, 0); err != nil {
		t.Fatalf("a good assertion = %v", err)
	}
	other := expect
	other.AnyAudience = jwt.Audience{"agenda"}
	if err := c.ValidateWithLeeway(other, 0); !errors.Is(err, jwt.ErrInvalidAudience) {
		t.Errorf("at another service = %v, want ErrInvalidAudience", err)
	}
	late := expect
	late.Time = start().Add(61 * time.Second)
	if err := c.ValidateWithLeeway(late, 0); !errors.Is(err, jwt.ErrExpired) {
		t.Errorf("after 61 s = %v, want ErrExpired", err)
	}
	part := strings.Split(good, ".")
	for name, forged := range map[string]string{
		"without signature":  part[0] + "." + part[1] + ".",
		"another payload":    part[0] + "." + part[1][:len(part[1])-4] + "AAAA." + part[2],
		"algorithm none":     "eyJhbGciOiJub25lIn0." + part[1] + ".",
		"of another gateway": newWorld(t).assertion(t),
		"HMAC":               "eyJhbGciOiJIUzI1NiJ9." + part[1] + "." + part[2],
	} {
		token, err := jwt.ParseSigned(forged, []jose.SignatureAlgorithm{jose.ES256})
		if err == nil {
			err = token.Claims(keys, &jwt.Claims{})
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// assertion is one of a person who has just signed in.
func (w *world) assertion(t *testing.T) string {
	t.Helper()
	b := w.browser(t)
	b.logIn()
	signed, err := w.idp.Assertion(w.find(t, b), "mail")
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// C7: what is kept is of one session and one service.
func TestAssertionIsKeptForHalfItsLife(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.logIn()
	v := w.find(t, b)
	sign := func(service string) string {
		t.Helper()
		signed, err := w.idp.Assertion(v, service)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	first := sign("mail")
	if sign("agenda") == first {
		t.Error("two services get the same assertion")
	}
	w.advance(30*time.Second - time.Millisecond)
	if sign("mail") != first {
		t.Error("signed anew within 30 s")
	}
	w.advance(time.Millisecond)
	second := sign("mail")
	if second == first {
		t.Error("not signed anew after 30 s")
	}
	// Whenever it is given out, half a minute of its life is left.
	_, c := open(t, second, w.keys(t))
	if left := time.Unix(c.Expiry, 0).Sub(w.now()); left < 30*time.Second || left > time.Minute {
		t.Errorf("the new one is good for %v, want 30 s to 1 min", left)
	}
	// E4: another session is another entry, and the memory of them is bounded.
	other := v
	other.ID, other.Account.Subject = "another", "somebody"
	signed, err := w.idp.Assertion(other, "mail")
	if err != nil {
		t.Fatal(err)
	}
	if _, c := open(t, signed, w.keys(t)); c.Subject != "somebody" {
		t.Errorf("subject = %q, want that of the session", c.Subject)
	}
	if testing.Short() {
		return
	}
	for i := range 10_050 {
		if _, err := w.idp.Assertion(store.Session{ID: fmt.Sprint(i)}, "mail"); err != nil {
			t.Fatal(err)
		}
	}
	if sign("mail") == second {
		t.Error("10,000 others have not made room")
	}
}
