package demo

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"promess/authgw/internal/client"
)

const (
	planningHost  = "planning.localhost"
	planningTitle = "Planning des gardes"
	guestCookie   = "__Host-planning"
	beginCookie   = "__Host-planning-login" // of the browser in which a login began, which alone may end it
)

// planning is a service that is not behind the gateway, such as somebody else would write it after docs/services.md: it sends people to the
// gateway to sign in, by OpenID Connect, and has sessions of its own, which end when the gateway says so.
type planning struct {
	listener net.Listener
	origin   string
	issuer   string
	http     *http.Client // to the gateway
	party    oauth2.Config
	verifier *oidc.IDTokenVerifier
	provider *oidc.Provider
	end      string // end_session_endpoint
	page     *template.Template
	guests   guests
}

// newPlanning takes an address, and returns the service with what the gateway is told of it.
func (w *world) newPlanning(ctx context.Context) (*planning, *client.Client, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	port := strconv.Itoa(int(portOf(l)))
	secret, hash := client.NewSecret()
	p := &planning{
		listener: l, origin: "https://" + planningHost + ":" + port, issuer: w.config.Origin(authHost), http: w.keySet().client(),
		page: template.Must(template.ParseFS(pages, "pages/planning.html")), guests: guests{known: map[string]guest{}},
	}
	p.party = oauth2.Config{
		ClientID: "planning", ClientSecret: secret, RedirectURL: p.origin + "/callback", Scopes: []string{"openid", "profile", "email", "profession"},
	}
	c, err := client.Settings{
		ID: p.party.ClientID, Title: planningTitle, Description: "Un service qui n’est pas derrière la passerelle (exemple)", Home: p.origin + "/",
		RedirectURIs: []string{p.party.RedirectURL}, PostLogoutRedirectURIs: []string{p.origin + "/au-revoir"}, Scopes: p.party.Scopes,
		// By its address: the names of the demonstration may resolve in browsers only.
		BackchannelLogoutURI: "https://127.0.0.1:" + port + "/backchannel-logout", BackchannelNetworks: []string{"127.0.0.0/8"},
	}.Client(w.config.Own())
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	c.SecretHashes = [][32]byte{hash}
	return p, c, nil
}

// run finds out where the gateway has what, once that answers, and serves until ctx ends.
func (p *planning) run(ctx context.Context, c *tls.Config) (err error) {
	defer p.listener.Close()
	if p.provider, err = oidc.NewProvider(oidc.ClientContext(ctx, p.http), p.issuer); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	var more struct {
		End string `json:"end_session_endpoint"`
	}
	if err := p.provider.Claims(&more); err != nil {
		return err
	}
	p.end, p.party.Endpoint = more.End, p.provider.Endpoint()
	p.verifier = p.provider.Verifier(&oidc.Config{ClientID: p.party.ClientID, SupportedSigningAlgs: []string{oidc.ES256}})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.home)
	mux.HandleFunc("GET /callback", p.callback)
	mux.HandleFunc("POST /deconnexion", p.leave)
	mux.HandleFunc("GET /au-revoir", func(w http.ResponseWriter, _ *http.Request) {
		p.show(w, http.StatusOK, "Votre session est terminée, ici et sur les autres services du portail.", guest{})
	})
	mux.HandleFunc("POST /backchannel-logout", p.over)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, pages, "pages/service.css") })
	protected := http.NewCrossOriginProtection().Handler(mux)
	return serve(ctx, tls.NewListener(p.listener, c), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		protected.ServeHTTP(w, r)
	}))
}

// home shows somebody who is signed in their page, and sends everybody else to the gateway: who is signed in there comes back without typing.
func (p *planning) home(w http.ResponseWriter, r *http.Request) {
	if g := p.guests.of(r); g.idToken != "" {
		p.show(w, http.StatusOK, "", g)
		return
	}
	state, nonce, secret := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	setCookie(w, beginCookie, state+"."+nonce+"."+secret)
	http.Redirect(w, r, p.party.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(secret)), http.StatusSeeOther)
}

// callback is where a person comes back to from the gateway.
func (p *planning) callback(w http.ResponseWriter, r *http.Request) {
	begun, err := r.Cookie(beginCookie)
	setCookie(w, beginCookie, "")
	if err != nil || !p.welcome(w, r, strings.Split(begun.Value, ".")) {
		p.show(w, http.StatusBadRequest, "La connexion n’a pas abouti.", guest{})
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// welcome asks the gateway who has come, and begins their session.
func (p *planning) welcome(w http.ResponseWriter, r *http.Request, begun []string) bool {
	if len(begun) != 3 || r.FormValue("state") != begun[0] || r.FormValue("iss") != p.issuer {
		return false // not begun here, or answered by somebody else
	}
	ctx := oidc.ClientContext(r.Context(), p.http)
	tokens, err := p.party.Exchange(ctx, r.FormValue("code"), oauth2.VerifierOption(begun[2]))
	if err != nil {
		return false
	}
	raw, _ := tokens.Extra("id_token").(string)
	identity, err := p.verifier.Verify(ctx, raw)
	g := guest{idToken: raw, until: time.Now().Add(guestLife)}
	if err != nil || identity.Nonce != begun[1] || identity.Claims(&g) != nil || g.SID == "" {
		return false
	}
	// The session is there before the gateway is asked again: a sign-out meanwhile either finds it, or is the answer.
	id := rand.Text()
	p.guests.add(id, g)
	info, err := p.provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil || info.Subject != identity.Subject || info.Claims(&g) != nil {
		p.guests.forget(g.SID)
		return false
	}
	setCookie(w, guestCookie, id)
	return p.guests.replace(id, g)
}

// leave ends the session here, and sends the person to the gateway, where it ends everywhere.
func (p *planning) leave(w http.ResponseWriter, r *http.Request) {
	g := p.guests.of(r)
	p.guests.forget(g.SID)
	setCookie(w, guestCookie, "")
	q := url.Values{"client_id": {p.party.ClientID}, "id_token_hint": {g.idToken}, "post_logout_redirect_uri": {p.origin + "/au-revoir"}}
	http.Redirect(w, r, p.end+"?"+q.Encode(), http.StatusSeeOther)
}

// over is where the gateway says that a session is over. What is said twice changes nothing, so that no jti is kept.
func (p *planning) over(w http.ResponseWriter, r *http.Request) {
	token, err := p.verifier.VerifyLogout(oidc.ClientContext(r.Context(), p.http), r.PostFormValue("logout_token"))
	if err != nil || token.SessionID == "" {
		http.Error(w, "no logout token of the gateway", http.StatusBadRequest)
		return
	}
	p.guests.forget(token.SessionID)
}

// show shows the page of a guest, or what is to be said to somebody who is none.
func (p *planning) show(w http.ResponseWriter, status int, message string, g guest) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = p.page.Execute(w, struct {
		Title, Message, Portal string
		guest
	}{planningTitle, message, p.issuer + "/", g}) // fails when the browser has gone
}

// setCookie sets a cookie of this browser session; an empty one is deleted.
func setCookie(w http.ResponseWriter, name, value string) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
