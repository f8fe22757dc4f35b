package oidc

import (
	"context"
	"errors"
	"net/http"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// maxFrames bounds how many clients are told of one sign-out in the browser.
const maxFrames = 20

// Leave implements idp.Departer: the clients of a session that are to be told in the browser (OpenID Connect Front-Channel Logout 1.0).
func (p *Provider) Leave(ctx context.Context, v store.Session) (string, error) {
	all, err := p.Store.SessionNames(ctx, v.ID, mostNames)
	if err != nil {
		return "", err
	}
	var told []store.SessionName
	for _, n := range all {
		uri, err := p.frontChannel(ctx, n)
		switch {
		case err != nil:
			return "", err
		case uri == "":
		case len(told) == maxFrames:
			p.Log.Warn("client not told of a sign-out in the browser: there are too many", "client", n.Client, "session", v)
		default:
			told = append(told, n)
		}
	}
	if len(told) == 0 {
		return "", nil
	}
	return p.keepDeparture(ctx, "", departure{Frames: told})
}

// frontChannel returns what the browser loads to tell a client; empty: the client does not want it.
func (p *Provider) frontChannel(ctx context.Context, n store.SessionName) (string, error) {
	c, err := p.Clients.Client(ctx, n.Client)
	if errors.Is(err, client.ErrUnknown) {
		return "", nil
	}
	if err != nil || c.FrontChannel == "" {
		return "", err
	}
	return withQuery(c.FrontChannel, "iss", p.Issuer, "sid", n.SID), nil // section 2, as if session were always required
}

// tellInBrowser is a page of the tour of a sign-out that loads what each client has for it, once, for a few seconds at most. Whoever has the
// handle may see it: all of it is over.
func (p *Provider) tellInBrowser(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	next := p.Server.NextVisit(idp.RestOfTour(r))
	d, _, err := p.departureOf(r.Context(), r.PathValue("handle"))
	var frames []string
	for _, n := range d.Frames {
		uri, lost := p.frontChannel(r.Context(), n)
		if lost != nil {
			err = lost
		}
		if uri != "" {
			frames = append(frames, uri)
		}
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		p.Log.Error("clients are not told of a sign-out in the browser", "error", err)
	}
	if len(frames) == 0 {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	p.Pages.Render(w, r, http.StatusOK, web.SigningOutPage{Next: next, Frames: frames})
}
