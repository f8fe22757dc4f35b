package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// endConfirmPath takes the person's word that they want to be signed out.
const endConfirmPath = endPath + "/confirm"

const (
	departureLife = 10 * time.Minute // that the tour of a sign-out may take
	mostNames     = 200              // clients of one session
)

// departure is what is left to do when a session is over: the body of a request that no browser has brought.
type departure struct {
	URI    string              `json:"uri,omitempty"` // of the client's, where the person goes
	State  string              `json:"state,omitempty"`
	Frames []store.SessionName `json:"frames,omitempty"` // whom to tell in the browser
}

var _ idp.Departer = (*Provider)(nil)

// endRoutes are those of a sign-out.
func (p *Provider) endRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+endPath, p.endSession)
	mux.HandleFunc("POST "+endPath, p.endSessionForm)
	mux.HandleFunc("POST "+endConfirmPath, p.confirmEnd)
	mux.HandleFunc("GET "+idp.DeparturePath+"{handle}", p.tellInBrowser)
}

// ending is what somebody who sends a browser to be signed out has said (OpenID Connect RP-Initiated Logout 1.0, section 2).
type ending struct {
	client       *client.Client // nil: not known
	sid, subject string         // of the ID token; empty: there is none
	uri, state   string         // where the person goes afterwards; empty: nowhere
	wrong        *unanswerable  // nothing of it counts; nil: it is in order
}

// ending reads such a request. Section 4: "When an OP detects errors in the RP-Initiated Logout request, it MUST NOT perform the post logout
// redirection even if a post_logout_redirect_uri value is provided". An error is one of ours.
func (p *Provider) ending(ctx context.Context, q url.Values) (ending, error) {
	var e ending
	id := q.Get("client_id")
	if hint := q.Get("id_token_hint"); hint != "" {
		claims, err := p.hint(ctx, hint)
		switch {
		case err != nil || len(claims.Audience) != 1:
			return ending{wrong: &unanswerable{reason: "bad_hint", detail: "id_token_hint is no ID token of ours"}}, nil
		case id != "" && id != claims.Audience[0]:
			return ending{wrong: &unanswerable{reason: "other_client", detail: "id_token_hint was given to another client than client_id"}}, nil
		}
		id, e.sid, e.subject = claims.Audience[0], claims.SessionID, claims.Subject
	}
	if id == "" {
		return ending{}, nil // whose post_logout_redirect_uri it is, nobody knows
	}
	c, err := p.Clients.Client(ctx, id)
	switch {
	case errors.Is(err, client.ErrUnknown):
		return ending{wrong: &unanswerable{reason: "unknown_client", detail: "no such client"}}, nil
	case err != nil:
		return ending{}, err
	}
	e.client, e.uri, e.state = c, q.Get("post_logout_redirect_uri"), q.Get("state")
	if e.uri != "" && !c.ComesBack(e.uri) { // F2
		return ending{wrong: &unanswerable{reason: "bad_redirect", client: c.ID, detail: "post_logout_redirect_uri is none of the client's"}}, nil
	}
	return e, nil
}

// names says whether an ID token was given in a session: only who has it knows that.
func (p *Provider) names(ctx context.Context, e ending, v store.Session) (bool, error) {
	if e.wrong != nil || e.client == nil || e.sid == "" || e.subject != p.subject(e.client, v.Account.Subject) {
		return false, nil
	}
	if e.sid == v.ID {
		return true, nil
	}
	all, err := p.Store.SessionNames(ctx, v.ID, mostNames) // it may have taken the place of the one that the client knows
	return slices.Contains(all, store.SessionName{Client: e.client.ID, SID: e.sid}), err
}

// endSessionForm is a request by a form. As for authorizeForm, the browser is sent the same way by a GET.
func (p *Provider) endSessionForm(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	q, err := parameters(r)
	if err != nil {
		p.unanswered(w, r, err)
		return
	}
	to := endPath
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// endSession signs a person out whom a client sends: at once when it shows an ID token of the browser's own session. Anybody else who sends a
// browser here has the person asked (section 2; logout CSRF).
func (p *Provider) endSession(w http.ResponseWriter, r *http.Request) {
	q, e, v, ok := p.toEnd(w, r)
	if !ok {
		return
	}
	sure, err := p.names(r.Context(), e, *v)
	switch {
	case err != nil:
		p.Server.Fault(w, r, "find session", err)
	case sure:
		p.depart(w, r, e)
	default:
		p.askToEnd(w, r, q, e, *v)
	}
}

// confirmEnd signs a person out who has said so on our own page (the browser routes are protected from others), in the session in which they
// were asked.
func (p *Provider) confirmEnd(w http.ResponseWriter, r *http.Request) {
	q, e, v, ok := p.toEnd(w, r)
	if !ok {
		return
	}
	if q.Get("session") != v.ID { // somebody else has signed in since, or it is empty (D8)
		p.askToEnd(w, r, q, e, *v)
		return
	}
	p.depart(w, r, e)
}

// toEnd reads a request and finds the session that it is about, or answers the browser.
func (p *Provider) toEnd(w http.ResponseWriter, r *http.Request) (url.Values, ending, *store.Session, bool) {
	noStore(w)
	var e ending
	var bad malformed
	q, err := parameters(r)
	if errors.As(err, &bad) {
		e.wrong, err = &unanswerable{reason: "malformed", detail: string(bad)}, nil
	} else if err == nil {
		e, err = p.ending(r.Context(), q)
	}
	if err != nil {
		p.unanswered(w, r, err)
		return nil, e, nil, false
	}
	p.Pages.Prefer(w, r, q.Get("ui_locales"))
	v, err := p.session(r)
	switch {
	case err != nil:
		p.Server.Fault(w, r, "find session", err)
	case v != nil:
		return q, e, v, true
	case e.wrong != nil:
		p.unanswered(w, r, e.wrong)
	case e.uri != "":
		p.goBack(w, r, e.uri, e.state)
	default:
		p.Pages.Render(w, r, http.StatusOK, web.SignedOutPage{})
	}
	return nil, e, nil, false
}

// askToEnd asks a person whether they want to be signed out. Of a request that is wrong nothing is kept but that it came: the person, who
// perhaps wanted to leave, must not believe that they have.
func (p *Provider) askToEnd(w http.ResponseWriter, r *http.Request, q url.Values, e ending, v store.Session) {
	page := web.LogoutPage{Person: idp.Person(v), Action: endConfirmPath, Stay: "/", Fields: []web.Field{{Name: "session", Value: v.ID}}}
	status := http.StatusOK
	if e.wrong != nil {
		status, page.Wrong = http.StatusBadRequest, true
		p.recordDenial(idp.Source(r), &denial{code: invalidRequest, description: e.wrong.detail, reason: "logout_" + e.wrong.reason, client: e.wrong.client})
	}
	if e.client != nil {
		page.Service = e.client.Title
		for _, name := range []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state"} {
			if q.Has(name) {
				page.Fields = append(page.Fields, web.Field{Name: name, Value: q.Get(name)})
			}
		}
	}
	p.Pages.Render(w, r, status, page)
}

// depart signs a person out, and keeps for the end of it where they go. That it cannot be kept is no reason to stay.
func (p *Provider) depart(w http.ResponseWriter, r *http.Request, e ending) {
	name := ""
	if e.uri != "" {
		var err error
		if name, err = p.keepDeparture(r.Context(), e.client.ID, departure{URI: e.uri, State: e.state}); err != nil {
			p.Log.Error("where a person goes after the sign-out is lost", "client", e.client, "error", err)
		}
	}
	p.Server.SignOut(w, r, name)
}

// keepDeparture keeps what is left to do, and returns its handle.
func (p *Provider) keepDeparture(ctx context.Context, id string, d departure) (string, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return "", err // unreachable: texts
	}
	now, handle := p.Now(), token.New()
	hash, _ := token.Of(token.Leave, handle) // a new token is one
	err = p.Store.AddRequest(ctx, hash, store.Request{Client: id, Body: body, Created: now, Expires: now.Add(departureLife)})
	if err != nil {
		return "", err
	}
	return handle, nil
}

// departureOf uses up what a handle stands for, with the client that it is for. store.ErrNotFound: nothing, any more.
func (p *Provider) departureOf(ctx context.Context, handle string) (d departure, id string, err error) {
	hash, ok := token.Of(token.Leave, handle)
	if !ok {
		return d, "", store.ErrNotFound
	}
	q, err := p.Store.TakeDeparture(ctx, hash, p.Now())
	if err == nil {
		err = json.Unmarshal(q.Body, &d)
	}
	return d, q.Client, err
}

// Farewell implements idp.Departer: the person goes back to the client, if that still is where it wants them.
func (p *Provider) Farewell(w http.ResponseWriter, r *http.Request, name string) bool {
	d, id, err := p.departureOf(r.Context(), name)
	var c *client.Client
	if err == nil {
		c, err = p.Clients.Client(r.Context(), id)
	}
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, client.ErrUnknown):
		return false
	case err != nil:
		p.Log.Error("where a person goes after the sign-out is lost", "error", err)
		return false
	case !c.ComesBack(d.URI):
		return false
	}
	p.goBack(w, r, d.URI, d.State)
	return true
}

// goBack sends a browser to a post_logout_redirect_uri, which is the client's: ending and Farewell have looked.
func (p *Provider) goBack(w http.ResponseWriter, r *http.Request, uri, state string) {
	w.Header().Set("Referrer-Policy", "no-referrer")
	if state != "" {
		uri = withQuery(uri, "state", state)
	}
	http.Redirect(w, r, uri, http.StatusSeeOther)
}

// withQuery returns a URL with parameters behind those that it has. These stay as they are written.
func withQuery(uri string, pairs ...string) string {
	q := url.Values{}
	for n := 0; n < len(pairs); n += 2 {
		q.Set(pairs[n], pairs[n+1])
	}
	sep := "?"
	if strings.Contains(uri, "?") {
		sep = "&"
	}
	return uri + sep + q.Encode()
}
