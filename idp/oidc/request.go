package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	lib "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
)

// asked is what a client asks of a person: the body of a request's row. Nothing of it is looked up again when the request goes on; the
// client and the session are.
type asked struct {
	RedirectURI string   `json:"redirect_uri"`
	State       string   `json:"state,omitempty"`
	Mode        string   `json:"mode,omitempty"` // form_post; empty: query
	Scopes      []string `json:"scopes"`         // that the client may have
	Nonce       string   `json:"nonce,omitempty"`
	Challenge   string   `json:"challenge"` // S256

	Silent  bool    `json:"silent,omitempty"`  // prompt=none
	Login   bool    `json:"login,omitempty"`   // prompt=login or select_account: whatever session there is
	Consent bool    `json:"consent,omitempty"` // prompt=consent
	MaxAge  *uint32 `json:"max_age,omitempty"` // seconds
	Level   string  `json:"level,omitempty"`   // acr_values: the lowest level that will do; empty: any
	Person  string  `json:"person,omitempty"`  // id_token_hint: its sub, which is to sign in
	Hint    string  `json:"hint,omitempty"`    // login_hint
	Locales string  `json:"locales,omitempty"` // ui_locales

	// Before is the session that the browser had when it brought the request, by its id: a login that is asked for is another one.
	Before string `json:"before,omitempty"`

	// Device and UserCode are of the request of a device, which has no redirect URI: what the database knows it by, and the code that its person has typed,
	// to be shown once more.
	Device   string `json:"device,omitempty"`
	UserCode string `json:"user_code,omitempty"`
}

// refusal is an error as a client is told it (RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0, section 3.1.2.6).
type refusal struct {
	Code        string
	Description string // for its developer: a text of ours in ASCII
}

func (f *refusal) Error() string { return f.Code + ": " + f.Description }

// unanswerable is why a request is answered to the person alone: nobody knows whether the redirect URI is the client's.
type unanswerable struct {
	reason string // a word, for the audit
	client string // empty: not one of ours
	detail string // a text of ours
}

func (u *unanswerable) Error() string { return u.reason + ": " + u.detail }

// challengeForm is BASE64URL of a SHA-256 (RFC 7636, section 4.2).
var challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// responder returns the client of a request that may be answered: the client is known, and the redirect URI is its own (F1). The error is
// unanswerable, or of the database.
func (p *Provider) responder(ctx context.Context, q url.Values) (*client.Client, error) {
	c, err := p.Clients.Client(ctx, q.Get("client_id"))
	switch {
	case errors.Is(err, client.ErrUnknown):
		if err != client.ErrUnknown { // what the database has of it does not hold together
			p.Log.Warn("client refused", "error", err)
		}
		return nil, &unanswerable{reason: "client_unknown", detail: "client_id names no client"}
	case err != nil:
		return nil, err
	case !c.Answered(q.Get("redirect_uri")):
		return nil, &unanswerable{reason: "redirect_uri", client: c.ID, detail: "redirect_uri is not one of the client's"}
	}
	return c, nil
}

// modeOf returns how an answer is sent. What cannot be done is answered in the default mode, which says so: nobody sends a form to a program's
// own scheme.
func modeOf(q url.Values) string {
	if q.Get("response_mode") == "form_post" && strings.HasPrefix(q.Get("redirect_uri"), "http") {
		return "form_post"
	}
	return ""
}

// read makes of parameters what is asked. The client is their responder. The error is a *refusal.
func (p *Provider) read(ctx context.Context, q url.Values, c *client.Client) (asked, error) {
	a := asked{RedirectURI: q.Get("redirect_uri"), State: q.Get("state"), Mode: modeOf(q), Nonce: q.Get("nonce"), Hint: q.Get("login_hint")}
	if err := refuseUnsupported(q); err != nil {
		return a, err
	}
	// The library reads a form of a request; nothing else of this one is looked at.
	form := &http.Request{Method: http.MethodGet, Form: q}
	request, err := op.ParseAuthorizeRequest(form, p.decoder)
	if err != nil {
		return a, &refusal{"invalid_request", "a parameter does not have the form that it has in OpenID Connect Core 1.0, section 3.1.2.1"}
	}
	if request.IDTokenHint != "" {
		h, err := p.hint(ctx, request.IDTokenHint)
		if err != nil || !slices.Contains(h.Audience, c.ID) {
			return a, &refusal{"login_required", "id_token_hint is not an ID token that was given to this client"}
		}
		a.Person, request.IDTokenHint = h.Subject, ""
	}
	if q.Has("max_age") {
		if request.MaxAge == nil || *request.MaxAge > 1<<31 {
			return a, &refusal{"invalid_request", "max_age is not a number of seconds"}
		}
		seconds := uint32(*request.MaxAge)
		a.MaxAge, a.Login = &seconds, seconds == 0 // which is what prompt=login is
	}
	if _, err := op.ValidateAuthRequestClient(ctx, request, party{c}, nil); err != nil {
		var known *lib.Error
		if errors.As(err, &known) && !known.IsRedirectDisabled() {
			return a, &refusal{string(known.ErrorType), "the request is not a valid one for this client"}
		}
		return a, &refusal{"invalid_request", "the request is not a valid one for this client"}
	}
	a.Locales = q.Get("ui_locales")
	if a.Scopes, err = scopesOf(q, c); err != nil {
		return a, err
	}
	if err := a.readChallenge(q); err != nil {
		return a, err
	}
	if err := a.readPrompt(strings.Fields(q.Get("prompt"))); err != nil {
		return a, err
	}
	a.Level = lowest(strings.Fields(q.Get("acr_values")))
	return a, nil
}

// refuseUnsupported refuses what discovery says is not supported, and what nobody should send.
func refuseUnsupported(q url.Values) error {
	switch {
	case q.Has("request"):
		return &refusal{"request_not_supported", "request objects are not supported: push the request"}
	case q.Has("request_uri"):
		return &refusal{"request_uri_not_supported", "request_uri is for requests that were pushed here"}
	case q.Has("registration"):
		return &refusal{"registration_not_supported", "clients are registered by the operator"}
	case !q.Has("response_type"):
		return &refusal{"invalid_request", "response_type is missing"}
	case q.Get("response_type") != "code":
		return &refusal{"unsupported_response_type", "only response_type=code is supported"}
	}
	switch mode := q.Get("response_mode"); mode {
	case "", "query", modeOf(q):
		return nil
	}
	return &refusal{"invalid_request", "only response_mode query and form_post are supported"}
}

// scopesOf returns the scopes that a client asks for and may have. Others are ignored, as OpenID Connect Core 1.0, section 3.1.2.1, wants; the
// answer of the token endpoint says which there are.
func scopesOf(q url.Values, c *client.Client) ([]string, error) {
	var all []string
	for _, scope := range strings.Fields(q.Get("scope")) {
		switch {
		case !slices.Contains(c.Scopes, scope), slices.Contains(all, scope), scope == lib.ScopeOfflineAccess && !c.Refresh:
		default:
			all = append(all, scope)
		}
	}
	if !slices.Contains(all, lib.ScopeOpenID) {
		return nil, &refusal{"invalid_scope", "scope openid is missing"}
	}
	return all, nil
}

// readChallenge requires PKCE with S256 of everybody (F4): no method is "plain", which a reader of the request has the verifier of.
func (a *asked) readChallenge(q url.Values) error {
	switch {
	case !q.Has("code_challenge"):
		return &refusal{"invalid_request", "code_challenge is missing (RFC 7636)"}
	case q.Get("code_challenge_method") != string(lib.CodeChallengeMethodS256):
		return &refusal{"invalid_request", "code_challenge_method is not S256"}
	case !challengeForm.MatchString(q.Get("code_challenge")):
		return &refusal{"invalid_request", "code_challenge is not 43 characters of base64url"}
	}
	a.Challenge = q.Get("code_challenge")
	return nil
}

func (a *asked) readPrompt(words []string) error {
	for _, word := range words {
		switch word {
		case lib.PromptNone:
			a.Silent = true
		case lib.PromptLogin, lib.PromptSelectAccount: // to choose an account is to sign in with it
			a.Login = true
		case lib.PromptConsent:
			a.Consent = true
		default:
			return &refusal{"invalid_request", "prompt is not none, login, consent or select_account"}
		}
	}
	if a.Silent && len(words) > 1 {
		return &refusal{"invalid_request", "prompt none is not alone"}
	}
	return nil
}

// lowest returns the lowest level of those that a client would take; empty: any. Levels that are not known here ask for nothing, since
// acr_values is a wish (OpenID Connect Core 1.0, section 5.5.1.1); what a client requires is in its rule (F13).
func lowest(acrs []string) string {
	level := ""
	for _, acr := range acrs {
		if idp.Level(acr) > 0 && (level == "" || idp.Level(acr) < idp.Level(level)) {
			level = acr
		}
	}
	return level
}
