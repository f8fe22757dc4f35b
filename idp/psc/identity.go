package psc

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"promess/authgw/certs"
	"promess/authgw/idp"
)

const (
	leeway          = time.Minute   // between the clocks here and there
	sessionLifetime = 4 * time.Hour // of a session of PSC, since auth_time: none of ours outlives it
	maxClaim        = 256           // bytes of a claim that is kept
)

// refused is an answer of PSC that opens nothing.
type refused struct {
	page           string // of the catalogue
	reason, detail string // for the audit
	cause          error  // for the log; may be nil
}

func (r *refused) Error() string { return r.reason + ": " + r.detail }

// unfit is an answer that is not what it should be.
func unfit(detail string, cause error) error {
	return &refused{page: "psc_refused", reason: "psc_answer", detail: detail, cause: cause}
}

// claims are those of an ID token that count here.
type claims struct {
	Issuer   string      `json:"iss"`
	Sub      string      `json:"sub"`
	Aud      audience    `json:"aud"`
	Azp      *string     `json:"azp"`
	Nonce    *string     `json:"nonce"`
	Exp      json.Number `json:"exp"`
	Iat      json.Number `json:"iat"`
	AuthTime json.Number `json:"auth_time"`
	ACR      text        `json:"acr"`
	AuthMode text        `json:"authMode"`
	SID      text        `json:"sid"`
	NameID   text        `json:"SubjectNameID"`
}

// audience is one or several.
type audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(b []byte) error {
	var single string
	if json.Unmarshal(b, &single) == nil {
		*a = audience{single}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

func (c *claims) authTime() time.Time { return seconds(c.AuthTime) }

// seconds is a NumericDate (RFC 7519, section 2). One that no calendar has is long ago.
func seconds(n json.Number) time.Time {
	s, err := n.Float64()
	if err != nil || !(s > 0 && s < 1e11) {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// redeem has a code exchanged for tokens, and reads who the person is.
func (m *Method) redeem(ctx context.Context, code string, p progress) (*found, error) {
	d, err := m.provider(ctx)
	if err != nil {
		return nil, err
	}
	got, err := m.oauth(d).Exchange(m.within(ctx), code, oauth2.VerifierOption(p.Verifier))
	if err != nil {
		return nil, m.tokenError(err)
	}
	raw, c, err := m.idToken(ctx, d, got)
	if err != nil {
		return nil, err
	}
	if raw == "" {
		return nil, unfit("no ID token", nil)
	}
	if c.Nonce == nil || subtle.ConstantTimeCompare([]byte(*c.Nonce), []byte(p.Nonce)) != 1 { // section 3.1.3.7, 11
		return nil, unfit("nonce", nil)
	}
	if err := m.checkLevel(c); err != nil {
		return nil, err
	}
	info, err := m.userinfo(ctx, d, got.AccessToken)
	if err != nil {
		return nil, err
	}
	if info.Sub != c.Sub { // section 5.3.2
		return nil, unfit("sub of userinfo", nil)
	}
	return m.find(c, info, m.tokensOf(got, raw, p.Nonce, c))
}

// errKeyless says that a signature could not be checked: nothing is wrong with it for all that is known, and nothing is believed.
var errKeyless = errors.New("the keys of the tokens were not to be had")

// idToken checks the ID token of an answer of the token endpoint (OpenID Connect Core 1.0, section 3.1.3.7), but its nonce and level. It
// returns an empty one when there is none.
func (m *Method) idToken(ctx context.Context, d *document, got *oauth2.Token) (raw string, c *claims, err error) {
	raw, _ = got.Extra("id_token").(string)
	if raw == "" {
		return "", nil, nil
	}
	verified, err := d.verifier.Verify(ctx, raw) // 2, 3, 6, 7: iss, aud, the signature with RS256
	if err != nil {
		if m.keyless.Load() || ctx.Err() != nil {
			return "", nil, errKeyless
		}
		return "", nil, unfit("issuer, audience or signature", err)
	}
	c = &claims{}
	if err := verified.Claims(c); err != nil {
		return "", nil, unfit("claims of the ID token", nil)
	}
	switch {
	case c.Sub == "" || len(c.Sub) > maxClaim:
		err = unfit("sub", nil)
	case len(c.Aud) != 1: // 3: others are nobody whom we trust
		err = unfit("more than one audience", nil)
	case c.Azp != nil && *c.Azp != m.ClientID: // 5
		err = unfit("azp", nil)
	case verified.VerifyAccessToken(got.AccessToken) != nil: // section 3.1.3.8; PSC always has at_hash
		err = unfit("at_hash", nil)
	default:
		err = m.checkTimes(c)
	}
	if err != nil {
		return "", nil, err
	}
	return raw, c, nil
}

// checkTimes is section 3.1.3.7, 9, 10 and 13, with a leeway for clocks.
func (m *Method) checkTimes(c *claims) error {
	now := m.Now()
	switch exp, iat, auth := seconds(c.Exp), seconds(c.Iat), c.authTime(); {
	case !now.Before(exp.Add(leeway)):
		return unfit("exp", nil)
	case iat.IsZero() || iat.After(now.Add(leeway)) || now.Sub(iat) > sessionLifetime:
		return unfit("iat", nil)
	case auth.IsZero() || auth.After(now.Add(leeway)):
		return unfit("auth_time", nil)
	case !now.Before(auth.Add(sessionLifetime)):
		return unfit("auth_time of a session that is over", nil)
	}
	return nil
}

var levelWord = regexp.MustCompile(`^[a-z0-9_:.-]{1,40}$`)

// checkLevel refuses a level that is not one of those that are accepted (F13).
func (m *Method) checkLevel(c *claims) error {
	if !slices.Contains(m.ACR, string(c.ACR)) {
		detail := "none"
		if levelWord.MatchString(string(c.ACR)) {
			detail = string(c.ACR)
		}
		return &refused{page: "psc_level", reason: "psc_acr", detail: detail}
	}
	return nil
}

// find makes of claims and userinfo who the person is.
func (m *Method) find(c *claims, info *info, t tokens) (*found, error) {
	nameID, err := m.nameID(c, info)
	if err != nil {
		return nil, err
	}
	auth := c.authTime()
	if now := m.Now(); auth.After(now) {
		auth = now
	}
	f := &found{Sub: c.Sub, SID: string(c.SID), Tokens: t, Situations: info.situations()}
	if len(f.SID) > maxClaim {
		f.SID = ""
	}
	f.Proof = idp.Proof{
		Method: Name, ACR: level(string(c.ACR)), AMR: amr(c), Time: auth, Until: auth.Add(sessionLifetime),
		IDType: m.identifierType(nameID), NationalID: nameID,
		GivenName: clean(info.GivenName), FamilyName: clean(info.FamilyName), Profession: info.profession(), Partial: true,
	}
	return f, nil
}

// nameID returns the national identifier, exactly as it is. Who has none that cards could have too is nobody here.
func (m *Method) nameID(c *claims, info *info) (string, error) {
	no := func(detail string) error {
		return &refused{page: "psc_identity", reason: "psc_identity", detail: detail}
	}
	nameID := string(c.NameID)
	switch {
	case nameID == "":
		nameID = string(info.NameID)
	case info != nil && info.NameID != "" && info.NameID != c.NameID:
		return "", unfit("two different SubjectNameID", nil)
	}
	if nameID == "" {
		return "", no("no SubjectNameID")
	}
	if len(nameID) > maxClaim || m.identifierType(nameID) == "" {
		return "", no("a SubjectNameID of no known type")
	}
	return nameID, nil
}

// editorIdentity is an identity of PSC's sandbox, made for the editors of software: no card has it, and no register.
var editorIdentity = regexp.MustCompile(`^ANS[0-9]{14}$`)

// identifierType names the type of a national identifier; empty: it is none. Those of the sandbox are named as their origine there is, so
// that they are never taken for those of a person.
func (m *Method) identifierType(nameID string) string {
	if m.Sandbox && editorIdentity.MatchString(nameID) {
		return "EDIT"
	}
	return certs.IdentifierType(nameID)
}

// level is the gateway's word for a level of eIDAS. All that PSC offers takes two factors: a card and its code, or the e-CPS, a telephone
// and its code. That one of them cannot leave its hardware is promised by the highest level alone (Regulation (EU) 2015/1502, annex,
// section 2.2.1: "high" protects against duplication), so the others count for no more than two factors, with a card too.
func level(acr string) string {
	if acr == "eidas3" {
		return idp.ACRHardware
	}
	return idp.ACRTwoFactor
}

// amr is what PSC says of how, in the words of RFC 8176.
func amr(c *claims) []string {
	switch {
	case c.AuthMode == "CARD":
		return []string{"sc", "pin", "mfa"}
	case c.AuthMode == "MOBILE":
		return []string{"mfa"}
	}
	return nil // it does not say
}

// within is a context whose requests are made by the method's client.
func (m *Method) within(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, m.client)
}

// tokenError says what a failure of the token endpoint means. The body of the answer is not looked at further: it may hold anything.
func (m *Method) tokenError(err error) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) || answer.Response == nil || answer.Response.StatusCode >= 500 {
		return err
	}
	word := answer.ErrorCode
	if !errorWord.MatchString(word) {
		word = "other"
	}
	no := &refused{page: "psc_refused", reason: "psc_token", detail: word}
	if word == "invalid_client" || word == "unauthorized_client" || answer.Response.StatusCode == 401 {
		no.cause = errors.New("it does not know this client: look at client_id, client_auth and the secret or certificate of psc")
	}
	return no
}

// plain is an error without what others have put into it: an answer of the token endpoint, or an address with parameters.
func plain(err error) error {
	var answer *oauth2.RetrieveError
	if errors.As(err, &answer) {
		status := 0
		if answer.Response != nil {
			status = answer.Response.StatusCode
		}
		return fmt.Errorf("the token endpoint answers %d", status)
	}
	var at *url.Error
	if errors.As(err, &at) {
		u, bad := url.Parse(at.URL)
		if bad != nil {
			return at.Err
		}
		return fmt.Errorf("%s %s://%s%s: %w", at.Op, u.Scheme, u.Host, u.Path, at.Err)
	}
	return err
}
