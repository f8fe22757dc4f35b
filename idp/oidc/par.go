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

const (
	// pushedPrefix begins a request_uri of ours (RFC 9126, section 2.2). No other is looked at, and none is fetched (F10).
	pushedPrefix = "urn:ietf:params:oauth:request_uri:"
	// pushedLife is how long a client has from pushing a request to a browser that brings it.
	pushedLife = 90 * time.Second
)

// push takes a request from a client's server, and judges it as one that a browser brings (RFC 9126, section 2).
func (p *Provider) push(w http.ResponseWriter, r *http.Request) {
	c, err := p.authenticate(r)
	if err != nil {
		p.deny(w, r, err)
		return
	}
	if c.Auth == client.Public && !p.kept.Allow(idp.Source(r), p.Now()) { // anybody may say to be one
		w.Header().Set("Retry-After", "5")
		reply(w, http.StatusTooManyRequests, map[string]string{"error": invalidRequest, "error_description": "too many requests"})
		return
	}
	i, err := p.readPushed(r, r.PostForm, c)
	if err != nil {
		p.deny(w, r, err)
		return
	}
	body, err := json.Marshal(i.asked)
	if err != nil {
		p.fault(w, r, err)
		return
	}
	handle := token.New()
	hash, _ := token.Of(token.Request, handle)
	err = p.Store.AddRequest(r.Context(), hash, store.Request{Client: c.ID, Body: body, Created: i.created, Expires: i.created.Add(pushedLife)})
	if err != nil {
		p.fault(w, r, err)
		return
	}
	reply(w, http.StatusCreated, map[string]any{"request_uri": pushedPrefix + handle, "expires_in": int(pushedLife.Seconds())})
}

// readPushed reads a request that a client pushes. The error is for deny.
func (p *Provider) readPushed(r *http.Request, q url.Values, c *client.Client) (*inquiry, error) {
	if !c.Answered(q.Get("redirect_uri")) {
		return nil, &denial{code: invalidRequest, description: "redirect_uri is not one of the client's", reason: "redirect_uri", client: c.ID}
	}
	a, err := p.read(r.Context(), q, c)
	var known *refusal
	if errors.As(err, &known) {
		err = &denial{code: known.Code, description: known.Description, client: c.ID}
	}
	return &inquiry{asked: a, client: c, created: p.Now()}, err
}

// pushed returns the request that a browser brings by the name that its client was given, once. What else the browser brings is ignored.
func (p *Provider) pushed(r *http.Request, q url.Values) (*inquiry, error) {
	hash, ok := token.Of(token.Request, strings.TrimPrefix(q.Get("request_uri"), pushedPrefix))
	c, err := p.Clients.Client(r.Context(), q.Get("client_id"))
	switch {
	case errors.Is(err, client.ErrUnknown):
		return nil, &unanswerable{reason: "client_unknown", detail: "client_id names no client"}
	case err != nil:
		return nil, err
	case !ok:
		return nil, &unanswerable{reason: "request_unknown", client: c.ID, detail: "request_uri is not one of ours"}
	}
	kept, err := p.Store.TakePushedRequest(r.Context(), hash, c.ID, p.Now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, &unanswerable{reason: "request_unknown", client: c.ID, detail: "the request_uri was used, or is late, or another client's"}
	case err != nil:
		return nil, err
	}
	i := &inquiry{client: c, created: p.Now()}
	if err := json.Unmarshal(kept.Body, &i.asked); err != nil {
		return nil, err
	}
	if !c.Answered(i.RedirectURI) { // it was changed meanwhile
		return nil, &unanswerable{reason: "redirect_uri", client: c.ID, detail: "redirect_uri is no longer one of the client's"}
	}
	return i, nil
}
