package oidc

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// requestLife is how long a person may take to sign in and to agree.
const requestLife = time.Hour

// frontRoutes are those that browsers come to.
func (p *Provider) frontRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+authorizePath, p.authorize)
	mux.HandleFunc("POST "+authorizePath, p.authorizeForm)
	mux.HandleFunc("GET "+resumePath, p.resume)
	mux.HandleFunc("GET "+consentPath, p.consent)
	mux.HandleFunc("POST "+consentPath, p.decideConsent)
	mux.HandleFunc("POST "+refusePath, p.turnBack)
	mux.HandleFunc("POST "+withdrawPath, p.withdraw)
	p.deviceRoutes(mux)
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", p.discovery) // RFC 8414, section 3
}

// authorizeForm is a request by a form (OpenID Connect Core 1.0, section 3.1.2.1). With a POST from another site browsers send no cookie of ours,
// so the browser is sent the same way by a GET, with which they do.
func (p *Provider) authorizeForm(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	q, err := parameters(r)
	if err != nil {
		p.unanswered(w, r, err)
		return
	}
	http.Redirect(w, r, authorizePath+"?"+q.Encode(), http.StatusSeeOther)
}

// authorize takes a request: it answers with a code at once where the session that there is will do, and else keeps the request for a login.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	q, err := parameters(r)
	if err != nil {
		p.unanswered(w, r, err)
		return
	}
	i, err := p.inquire(r, q)
	if err != nil {
		p.notAsked(w, r, i, err)
		return
	}
	v, err := p.session(r)
	if err != nil {
		p.Server.Fault(w, r, "find session", err)
		return
	}
	if v != nil {
		i.Before = v.ID
	}
	d, err := p.decide(r.Context(), i, v)
	if err != nil {
		p.Server.Fault(w, r, "decide request", err)
		return
	}
	if d.step == give {
		p.give(w, r, i, *v)
		return
	}
	if i.Silent { // OpenID Connect Core 1.0, section 3.1.2.1: no page is shown
		p.refuse(w, r, i, v, silentError(d, v))
		return
	}
	p.keep(w, r, i, d)
}

// notAsked answers a request that could not be read.
func (p *Provider) notAsked(w http.ResponseWriter, r *http.Request, i *inquiry, err error) {
	var known *refusal
	switch {
	case errors.As(err, &known) && i != nil:
		p.refuse(w, r, i, nil, known)
	default:
		p.unanswered(w, r, err)
	}
}

// inquire reads a request: what a browser brings, or what a client has pushed. An error *refusal comes with whom it is told.
func (p *Provider) inquire(r *http.Request, q url.Values) (*inquiry, error) {
	if strings.HasPrefix(q.Get("request_uri"), pushedPrefix) {
		return p.pushed(r, q)
	}
	c, err := p.responder(r.Context(), q)
	if err != nil {
		return nil, err
	}
	a, err := p.read(r.Context(), q, c)
	return &inquiry{asked: a, client: c, created: p.Now()}, err
}

// session returns the session of a request; nil: there is none.
func (p *Provider) session(r *http.Request) (*store.Session, error) {
	v, err := p.Server.Sessions.Find(r, p.Server.Host)
	if errors.Is(err, idp.ErrNoSession) {
		return nil, nil
	}
	return &v, err
}

// silentError is what prompt=none gets instead of a page.
func silentError(d verdict, v *store.Session) *refusal {
	switch {
	case d.step == agree:
		return &refusal{"consent_required", "the person has not agreed to what is asked for"}
	case d.step != signIn:
		return &refusal{"access_denied", "the client is not open to this person"}
	case v == nil, d.reason == "step_person", d.reason == "step_recent":
		return &refusal{"login_required", "the person is to sign in"}
	}
	return &refusal{"interaction_required", "the person is to sign in by other means"}
}

// keep writes a request down for the browser that brought it, and sends the browser to the page for its next step.
func (p *Provider) keep(w http.ResponseWriter, r *http.Request, i *inquiry, d verdict) {
	if !p.kept.Allow(idp.Source(r), p.Now()) {
		w.Header().Set("Retry-After", "5")
		p.Server.Fail(w, r, http.StatusTooManyRequests, "unavailable")
		return
	}
	body, err := json.Marshal(i.asked)
	if err != nil {
		p.Server.Fault(w, r, "write request", err)
		return
	}
	handle := token.New()
	hash, _ := token.Of(token.Request, handle)
	err = p.Store.AddRequest(r.Context(), hash, store.Request{
		Client: i.client.ID, Browser: p.bind(w, r), Body: body, Created: i.created, Expires: i.created.Add(requestLife),
	})
	if err != nil {
		p.Server.Fault(w, r, "keep request", err)
		return
	}
	p.Pages.Prefer(w, r, i.Locales)
	p.lead(w, r, handle, d)
}

// lead sends a browser with a kept request to its next step.
func (p *Provider) lead(w http.ResponseWriter, r *http.Request, handle string, d verdict) {
	if d.step != signIn {
		http.Redirect(w, r, p.Resume(handle), http.StatusSeeOther)
		return
	}
	state := p.Server.BrowserState(r)
	if err := p.Server.SaveBrowserState(w, r, idp.BrowserState{Browser: state.Browser, Request: handle}); err != nil {
		p.Server.Fault(w, r, "save browser state", err)
		return
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// browserCookie ties requests to the browser that brought them, for as long as it is open. Whoever is led to somebody else's request lacks
// it (login CSRF); nobody can set it from another host.
const browserCookie = "__Host-authgw-asked"

// bind returns the hash of a browser's cookie, which the answer sets where there is none.
func (p *Provider) bind(w http.ResponseWriter, r *http.Request) token.Hash {
	if hash, ok := boundTo(r); ok {
		return hash
	}
	secret := token.New()
	http.SetCookie(w, &http.Cookie{Name: browserCookie, Value: secret, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	hash, _ := token.Of(token.Browser, secret)
	return hash
}

func boundTo(r *http.Request) (token.Hash, bool) {
	cookies := r.CookiesNamed(browserCookie)
	if len(cookies) != 1 {
		return token.Hash{}, false
	}
	return token.Of(token.Browser, cookies[0].Value)
}

// keptRequest returns the request of a handle that a request's browser brought, of a client that is answered through it. idp.ErrNoRequest: there is
// none.
func (p *Provider) keptRequest(r *http.Request, handle string) (*inquiry, error) {
	i, err := p.keptAny(r, handle)
	if err == nil && i.Device != "" {
		return nil, idp.ErrNoRequest
	}
	return i, err
}

// keptAny is keptRequest with the requests of devices.
func (p *Provider) keptAny(r *http.Request, handle string) (*inquiry, error) {
	hash, ok := token.Of(token.Request, handle)
	browser, bound := boundTo(r)
	if !ok || !bound {
		return nil, idp.ErrNoRequest
	}
	q, err := p.Store.RequestOfBrowser(r.Context(), hash, browser, p.Now())
	if err != nil {
		return nil, noRequest(err)
	}
	i := &inquiry{created: q.Created, handle: handle}
	if err := json.Unmarshal(q.Body, &i.asked); err != nil {
		return nil, err
	}
	i.client, err = p.Clients.Client(r.Context(), q.Client)
	switch {
	case errors.Is(err, client.ErrUnknown):
		return nil, idp.ErrNoRequest
	case err == nil && i.Device == "" && !i.client.Answered(i.RedirectURI), err == nil && i.Device != "" && !i.client.Device: // it was changed meanwhile
		return nil, idp.ErrNoRequest
	}
	return i, err
}

func noRequest(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return idp.ErrNoRequest
	}
	return err
}
