package oidc

import (
	"errors"
	"net/http"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// refusePath is where a person who may not use a client goes back to it.
const refusePath = "/oauth/refuse"

// Resume implements idp.Asker.
func (p *Provider) Resume(request string) string { return queryOf(resumePath, "request", request) }

// Demand implements idp.Asker.
func (p *Provider) Demand(r *http.Request, request string, v *store.Session) (idp.Demand, error) {
	i, err := p.keptAny(r, request)
	if err != nil {
		return idp.Demand{}, err
	}
	d, err := p.decide(r.Context(), i, v)
	if err != nil {
		return idp.Demand{}, err
	}
	if d.step != signIn { // Resume says more
		return idp.Demand{Title: i.client.Title}, nil
	}
	return d.demand, nil
}

// resume goes on with a kept request: after the login, and whenever the browser comes by. Everything is looked at again.
func (p *Provider) resume(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	handle := r.URL.Query().Get("request")
	i, v, ok := p.foundBy(p.keptAny, w, r, handle)
	if !ok {
		return
	}
	if i.Device != "" {
		p.resumeDevice(w, r, i, v)
		return
	}
	d, err := p.decide(r.Context(), i, v)
	if err != nil {
		p.Server.Fault(w, r, "decide request", err)
		return
	}
	switch d.step {
	case signIn:
		p.lead(w, r, handle, d)
	case agree:
		http.Redirect(w, r, queryOf(consentPath, "request", handle), http.StatusSeeOther)
	case never:
		p.notAdmitted(w, r, i, v, d)
	case another:
		if p.used(w, r, i) {
			p.refuse(w, r, i, v, &refusal{"login_required", "another person than the one of id_token_hint has signed in"})
		}
	default:
		if p.used(w, r, i) {
			p.give(w, r, i, *v)
		}
	}
}

// found returns the kept request of a handle and the session that there is, or answers the browser.
func (p *Provider) found(w http.ResponseWriter, r *http.Request, handle string) (*inquiry, *store.Session, bool) {
	return p.foundBy(p.keptRequest, w, r, handle)
}

type finder func(r *http.Request, handle string) (*inquiry, error)

func (p *Provider) foundBy(find finder, w http.ResponseWriter, r *http.Request, handle string) (*inquiry, *store.Session, bool) {
	i, err := find(r, handle)
	if errors.Is(err, idp.ErrNoRequest) {
		p.forget(w, r, handle)
	}
	if err != nil {
		p.unanswered(w, r, err)
		return nil, nil, false
	}
	v, err := p.session(r)
	if err != nil {
		p.Server.Fault(w, r, "find session", err)
		return nil, nil, false
	}
	return i, v, true
}

// forget takes a request that is over out of the state of its browser, which would lead there again.
func (p *Provider) forget(w http.ResponseWriter, r *http.Request, handle string) {
	if state := p.Server.BrowserState(r); state.Request != "" && state.Request == handle {
		p.Server.ClearBrowserState(w)
	}
}

// used uses a request up, so that of two tabs one is answered, or answers the browser that it is too late.
func (p *Provider) used(w http.ResponseWriter, r *http.Request, i *inquiry) bool {
	hash, _ := token.Of(token.Request, i.handle)
	browser, _ := boundTo(r)
	p.forget(w, r, i.handle)
	if err := p.Store.AnswerRequest(r.Context(), hash, browser, p.Now()); err != nil {
		p.unanswered(w, r, noRequest(err))
		return false
	}
	return true
}

// notAdmitted tells a person that the client is not open to them, with the ways that there are.
func (p *Provider) notAdmitted(w http.ResponseWriter, r *http.Request, i *inquiry, v *store.Session, d verdict) {
	support := idp.NewSupportCode()
	p.recordRefusal(r, refusedPerson(i, v, d.reason, support))
	page := web.ClientRefusedPage{
		Person: idp.Person(*v), Service: i.client.Title, Reason: d.reason, Support: support, Action: refusePath, Request: i.handle, Target: i.RedirectURI,
	}
	if i.Device != "" { // which nothing leads back to
		page.Action = ""
	}
	p.Pages.Render(w, r, http.StatusForbidden, page)
}

// turnBack sends a person whom a client is not open to back to it. What they may now be admitted to goes on.
func (p *Provider) turnBack(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	q, err := parameters(r)
	if err != nil {
		p.unanswered(w, r, err)
		return
	}
	i, v, ok := p.found(w, r, q.Get("request"))
	if !ok || !p.used(w, r, i) {
		return
	}
	p.refuse(w, r, i, v, &refusal{"access_denied", "the client is not open to this person"})
}
