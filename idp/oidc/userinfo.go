package oidc

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	lib "github.com/zitadel/oidc/v3/pkg/oidc"

	"promess/authgw/idp"
)

// userinfo tells the client of an access token what its scopes reveal of the person (OpenID Connect Core 1.0, section 5.3).
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD, POST")
		reply(w, http.StatusMethodNotAllowed, map[string]string{"error": invalidRequest, "error_description": "GET or POST it"})
		return
	}
	text, problem := bearerOf(r)
	if problem != "" {
		p.challenge(w, http.StatusBadRequest, invalidRequest, problem)
		return
	}
	if text == "" {
		p.challenge(w, http.StatusUnauthorized, "", "")
		return
	}
	e, err := p.access(r.Context(), text)
	if errors.Is(err, errInactive) {
		p.challenge(w, http.StatusUnauthorized, "invalid_token", "the access token is unknown, expired or revoked")
		return
	}
	if err != nil {
		p.fault(w, r, err)
		return
	}
	if !slices.Contains(e.scopes, lib.ScopeOpenID) {
		p.challenge(w, http.StatusForbidden, "insufficient_scope", "the access token was given without openid")
		return
	}
	v, err := p.Server.Sessions.ByID(r.Context(), e.session, false)
	if errors.Is(err, idp.ErrNoSession) {
		p.challenge(w, http.StatusUnauthorized, "invalid_token", "the access token is unknown, expired or revoked")
		return
	}
	if err != nil {
		p.fault(w, r, err)
		return
	}
	claims, err := p.claims(r.Context(), v, e.granted, e.scopes)
	if err != nil {
		p.fault(w, r, err)
		return
	}
	reply(w, http.StatusOK, claims)
}

// bearerOf returns the one access token of a request, from its header or its form (RFC 6750, section 2). In an address it would be in logs, so
// there it is refused (section 5.3). problem says what is wrong with the request.
func bearerOf(r *http.Request) (text, problem string) {
	if r.URL.Query().Has("access_token") {
		return "", "an access token is not sent in the address"
	}
	header := r.Header.Values("Authorization")
	if len(header) > 1 {
		return "", "two Authorization headers"
	}
	if len(header) == 1 {
		scheme, rest, _ := strings.Cut(header[0], " ")
		if !strings.EqualFold(scheme, lib.BearerToken) || strings.TrimSpace(rest) == "" {
			return "", ""
		}
		text = strings.TrimSpace(rest)
	}
	if r.Method != http.MethodPost || r.ContentLength == 0 {
		return text, ""
	}
	form, err := formOf(r)
	if err != nil {
		return "", "the form cannot be read"
	}
	if form.Has("access_token") {
		if text != "" {
			return "", "two access tokens" // RFC 6750, section 2: "MUST NOT use more than one method"
		}
		text = form.Get("access_token")
	}
	return text, ""
}

// challenge answers a request without a good access token (RFC 6750, section 3). A code is said only where there was a token.
func (p *Provider) challenge(w http.ResponseWriter, status int, code, description string) {
	value := `Bearer realm="` + p.Issuer + `"`
	body := map[string]string{}
	if code != "" {
		value += `, error="` + code + `", error_description="` + description + `"`
		body = map[string]string{"error": code, "error_description": description}
	}
	w.Header().Set("WWW-Authenticate", value)
	reply(w, status, body)
}
