package oidc

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	lib "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// codeLife is how long a code is good: the client's server uses it at once.
const codeLife = time.Minute

// answer is what a client gets through the browser (RFC 6749, section 4.1.2; RFC 9207, section 2).
type answer struct {
	Code        string `schema:"code,omitempty"`
	Error       string `schema:"error,omitempty"`
	Description string `schema:"error_description,omitempty"`
	State       string `schema:"state,omitempty"`
	Issuer      string `schema:"iss"`
}

// code is what is sealed in an authorization code: all that its use needs to know.
type code struct {
	granted
	Client string `json:"client"`
	Until  int64  `json:"until"` // Unix milliseconds
}

// give answers a request with a code, of which nothing is written: that it was used, will be.
func (p *Provider) give(w http.ResponseWriter, r *http.Request, i *inquiry, v store.Session) {
	text, err := p.codes.seal(code{
		granted: granted{
			RedirectURI: i.RedirectURI, Scopes: i.Scopes, Nonce: i.Nonce, Challenge: i.Challenge,
			Subject: p.subject(i.client, v.Account.Subject), Account: v.Account.Subject,
			ACR: v.ACR, AMR: v.AMR, AuthTime: v.AuthTime.Unix(), SID: v.ID, Method: v.Method, CardType: v.CardType, // what happened, whatever was asked for (F13)
		},
		Client: i.client.ID, Until: p.Now().Add(codeLife).UnixMilli(),
	})
	if err != nil {
		p.Server.Fault(w, r, "seal code", err)
		return
	}
	p.Server.Note(audit.Event{
		Kind: audit.AuthorizationGranted, Outcome: "success", Client: i.client.ID, Subject: v.Account.Subject, Session: v.ID, Method: v.Method, ACR: v.ACR,
		Source: idp.Source(r),
	})
	p.send(w, r, i, answer{Code: text})
}

// refuse answers a request with an error. v is the session that there is; nil: none.
func (p *Provider) refuse(w http.ResponseWriter, r *http.Request, i *inquiry, v *store.Session, f *refusal) {
	e := audit.Event{Reason: f.Code, Client: i.client.ID, Detail: f.Description}
	if v != nil {
		e.Subject, e.Session, e.Method, e.ACR = v.Account.Subject, v.ID, v.Method, v.ACR
	}
	p.recordRefusal(r, e)
	p.send(w, r, i, answer{Error: f.Code, Description: f.Description})
}

// recordRefusal records that a request was refused. Of those for which nobody is signed in it records a hundred of each network, and then
// one in five seconds: they cost nothing, and the trail is never shortened.
func (p *Provider) recordRefusal(r *http.Request, e audit.Event) {
	e.Kind, e.Outcome, e.Source = audit.AuthorizationRefused, "refused", idp.Source(r)
	if e.Session == "" && !p.noise.Allow(e.Source, p.Now()) {
		p.Log.Debug("refusal not recorded: there are too many", "client", e.Client, "reason", e.Reason, "support", e.Support)
		return
	}
	p.Server.Record(e)
}

// send sends an answer to the redirect URI of a request, which is the client's: inquire and keptRequest have looked.
func (p *Provider) send(w http.ResponseWriter, r *http.Request, i *inquiry, a answer) {
	a.State, a.Issuer = i.State, p.Issuer
	w.Header().Set("Referrer-Policy", "no-referrer")
	if i.Mode == "form_post" {
		p.Pages.Render(w, r, http.StatusOK, web.FormPostPage{Service: i.client.Title, Action: i.RedirectURI, Fields: fieldsOf(a)})
		return
	}
	to, err := op.AuthResponseURL(i.RedirectURI, lib.ResponseTypeCode, lib.ResponseModeQuery, &a, p.encoder)
	if err != nil {
		p.Server.Fault(w, r, "write answer", err)
		return
	}
	if i.handle != "" && r.Method == http.MethodGet {
		// The browser may be on its way from the form of a login page, whose policy knows no client (CSP, form-action, which Chromium applies to
		// redirects): a page of its own ends that.
		p.Pages.Render(w, r, http.StatusOK, web.ReturnPage{Service: i.client.Title, Next: to})
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// fieldsOf are the fields of a form (OAuth 2.0 Form Post Response Mode).
func fieldsOf(a answer) []web.Field {
	var all []web.Field
	for _, f := range []web.Field{{Name: "code", Value: a.Code}, {Name: "error", Value: a.Error}, {Name: "error_description", Value: a.Description}, {Name: "state", Value: a.State}, {Name: "iss", Value: a.Issuer}} {
		if f.Value != "" {
			all = append(all, f)
		}
	}
	return all
}

// unanswered shows the person that a request cannot be answered, and nobody else: where it wants to be answered is not known to be good.
func (p *Provider) unanswered(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the browser has gone
	}
	var why *unanswerable
	var bad malformed
	var limit *http.MaxBytesError
	status, code := http.StatusBadRequest, "oidc_request"
	switch {
	case errors.As(err, &bad):
		why = &unanswerable{reason: "malformed", detail: string(bad)}
	case errors.As(err, &limit):
		why = &unanswerable{reason: "malformed", detail: "the form is too large"}
	case errors.Is(err, idp.ErrNoRequest):
		status, code, why = http.StatusForbidden, "login_unknown", &unanswerable{reason: "request_unknown", detail: "no such request of this browser"}
	case !errors.As(err, &why):
		p.Server.Fault(w, r, "read request", err)
		return
	}
	if why.reason == "session_over" {
		status, code = http.StatusUnauthorized, "session_over"
	}
	support := idp.NewSupportCode()
	p.recordRefusal(r, audit.Event{Reason: why.reason, Client: why.client, Detail: why.detail, Support: support})
	p.Log.Info("request of a client refused", "client", why.client, "reason", why.reason, "detail", why.detail, "support", support)
	p.Pages.Render(w, r, status, web.ErrorPage{Code: code, Support: support, RetryURL: "/"})
}

// noStore keeps what a request answers out of caches.
func noStore(w http.ResponseWriter) { w.Header().Set("Cache-Control", "no-store") }

// queryOf is a path with parameters.
func queryOf(path string, pairs ...string) string {
	q := url.Values{}
	for n := 0; n < len(pairs); n += 2 {
		q.Set(pairs[n], pairs[n+1])
	}
	return path + "?" + q.Encode()
}
