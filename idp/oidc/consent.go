package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// consent asks a person whether a client may be told what it asks for.
func (p *Provider) consent(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	i, v, ok := p.toConsent(w, r, r.URL.Query().Get("request"))
	if !ok {
		return
	}
	page := web.ConsentPage{
		Person: idp.Person(*v), Service: i.client.Title, Action: consentPath, Request: i.handle, Target: i.RedirectURI, Told: toldBy(i.Scopes),
	}
	if u, err := url.Parse(i.RedirectURI); err == nil {
		page.Host = u.Hostname()
	}
	p.Pages.Render(w, r, http.StatusOK, page)
}

// toConsent returns a request to which only the person's consent is missing, or answers the browser.
func (p *Provider) toConsent(w http.ResponseWriter, r *http.Request, handle string) (*inquiry, *store.Session, bool) {
	i, v, ok := p.found(w, r, handle)
	if !ok {
		return nil, nil, false
	}
	d, err := p.decide(r.Context(), i, v)
	if err != nil {
		p.Server.Fault(w, r, "decide request", err)
		return nil, nil, false
	}
	if d.step != agree { // something else comes first, or is left
		http.Redirect(w, r, p.Resume(handle), http.StatusSeeOther)
		return nil, nil, false
	}
	return i, v, true
}

// decideConsent takes the person's answer, from our own page (the browser routes are protected from others) in the request's own browser.
func (p *Provider) decideConsent(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	q, err := parameters(r)
	if err != nil {
		p.unanswered(w, r, err)
		return
	}
	i, v, ok := p.toConsent(w, r, q.Get("request"))
	if !ok {
		return
	}
	switch q.Get("answer") {
	case "agree":
		if !p.used(w, r, i) {
			return
		}
		if err := p.noteConsent(r, i, v); err != nil {
			p.Server.Fault(w, r, "note consent", err)
			return
		}
		p.give(w, r, i, *v)
	case "refuse":
		if p.used(w, r, i) {
			p.refuse(w, r, i, v, &refusal{"access_denied", "the person does not agree"})
		}
	default: // an empty form decides nothing (D8)
		http.Redirect(w, r, queryOf(consentPath, "request", i.handle), http.StatusSeeOther)
	}
}

// noteConsent remembers what the person has agreed to, beside what they had before.
func (p *Provider) noteConsent(r *http.Request, i *inquiry, v *store.Session) error {
	all := slices.Clone(i.Scopes)
	before, err := p.Store.ConsentTo(r.Context(), v.Account.Subject, i.client.ID)
	if err == nil {
		all = append(all, before.Scopes...)
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	slices.Sort(all)
	err = p.Store.Agree(r.Context(), v.Account.Subject, store.Consent{Client: i.client.ID, Scopes: slices.Compact(all), Agreed: p.Now()})
	if err == nil {
		p.Server.Record(audit.Event{Kind: audit.ConsentGiven, Client: i.client.ID, Subject: v.Account.Subject, Session: v.ID, Source: idp.Source(r)})
	}
	return err
}

// withdrawPath is where a person withdraws what they have agreed to.
const withdrawPath = "/account/consents/withdraw"

// Agreed implements idp.Agreements. Clients that are no more are not on the page; they get nothing.
func (p *Provider) Agreed(ctx context.Context, subject string) ([]web.ConsentInfo, error) {
	consents, err := p.Store.Consents(ctx, subject)
	if err != nil {
		return nil, err
	}
	var all []web.ConsentInfo
	for _, given := range consents {
		c, err := p.Clients.Client(ctx, given.Client)
		if errors.Is(err, client.ErrUnknown) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, web.ConsentInfo{Service: c.Title, Told: toldBy(given.Scopes), Since: given.Agreed, Withdraw: withdrawPath, Client: c.ID})
	}
	return all, nil
}

// withdraw takes back what a person has agreed to, with what the client was given in their sessions: their own alone (G1).
func (p *Provider) withdraw(w http.ResponseWriter, r *http.Request) {
	v, ok := p.Server.SignedIn(w, r)
	if !ok {
		return
	}
	q, err := parameters(r)
	if err != nil {
		p.unanswered(w, r, err)
		return
	}
	id := q.Get("client")
	err = p.Store.Withdraw(r.Context(), v.Account.Subject, id, p.Now())
	p.back.cache.dropClient(id) // other gateways hear of it
	switch {
	case errors.Is(err, store.ErrNotFound): // over already: it is what was wanted
	case err != nil:
		p.Server.Fault(w, r, "withdraw consent", err)
		return
	default:
		p.Server.Record(audit.Event{Kind: audit.ConsentWithdrawn, Client: id, Subject: v.Account.Subject, Session: v.ID, Source: idp.Source(r)})
	}
	http.Redirect(w, r, "/account?done=consent_withdrawn", http.StatusSeeOther)
}

// toldBy names what scopes reveal, by words of the catalogue, each once, in the order in which it is shown.
func toldBy(scopes []string) []string {
	told := []string{"identity"}
	for _, scope := range []string{"profile", "email", "national_id", "profession", "structures", "card", "situation", "psc", "scope_all", "offline_access"} {
		word := scope
		if scope == "scope_all" {
			word = "psc"
		}
		if slices.Contains(scopes, scope) && !slices.Contains(told, word) {
			told = append(told, word)
		}
	}
	return told
}

// refusedPerson is the record of a person whom a client's rule does not admit.
func refusedPerson(i *inquiry, v *store.Session, reason, support string) audit.Event {
	return audit.Event{
		Reason: reason, Client: i.client.ID, Support: support, Subject: v.Account.Subject, Session: v.ID, Method: v.Method, ACR: v.ACR,
	}
}
