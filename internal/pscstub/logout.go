package pscstub

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// logout ends the session and asks nobody whether they mean it (OpenID Connect RP-Initiated Logout 1.0, section 2).
func (p *Provider) logout(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.page(w, http.StatusBadRequest, pageData{Problem: "Demande illisible · The request cannot be read"})
		return
	}
	client, sid, ok := p.hint(r.Form.Get("id_token_hint"))
	to := r.Form.Get("post_logout_redirect_uri")
	if !ok || client == nil && to != "" || to != "" && !slices.Contains(client.LogoutURIs, to) {
		p.page(w, http.StatusBadRequest, pageData{Problem: "Déconnexion refusée : id_token_hint ou adresse de retour · Logout refused"})
		return
	}
	p.end(r, sid)
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	back, err := url.Parse(to)
	if to == "" || err != nil {
		http.Redirect(w, r, Path+"/signed-out", http.StatusSeeOther)
		return
	}
	if state := r.Form.Get("state"); state != "" {
		q := back.Query()
		q.Set("state", state)
		back.RawQuery = q.Encode()
	}
	http.Redirect(w, r, back.String(), http.StatusSeeOther)
}

// hint returns the client and the session of an ID token, however old it is. No hint is no error.
func (p *Provider) hint(token string) (client *Client, sid string, ok bool) {
	if token == "" {
		return nil, "", true
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, "", false
	}
	var claims struct {
		Iss string `json:"iss"`
		Azp string `json:"azp"`
		Sid string `json:"sid"`
		Typ string `json:"typ"`
	}
	if err := parsed.Claims(&p.config.Key.PublicKey, &claims); err != nil || claims.Iss != p.config.Issuer || claims.Typ != "ID" {
		return nil, "", false
	}
	client = p.config.client(claims.Azp)
	return client, claims.Sid, client != nil
}

// end ends the session of the browser, and that of a hint.
func (p *Provider) end(r *http.Request, sid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.sessionOf(r); s != nil {
		s.ended = true
	}
	for _, s := range p.sessions {
		if sid != "" && s.id == sid {
			s.ended = true
		}
	}
}
