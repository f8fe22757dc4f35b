package pscstub

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// request is what a relying party asked for.
type request struct {
	client      *Client
	redirectURI string
	state       string
	nonce       string
	challenge   string
	scope       string
}

// toIssuer is the wallet's host, which keeps nothing: the person's session is at the issuer's.
func (p *Provider) toIssuer(w http.ResponseWriter, r *http.Request) {
	to := *p.issuer
	to.Path += AuthorizePath
	to.RawQuery = r.URL.RawQuery
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// authorize is the authorization endpoint (OpenID Connect Core 1.0, section 3.1.2).
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	client := p.config.client(q.Get("client_id"))
	// RFC 6749, section 4.1.2.1: where the client or its address is not known, nobody is sent anywhere.
	if client == nil {
		p.page(w, http.StatusBadRequest, pageData{Problem: "Client inconnu · Unknown client_id"})
		return
	}
	if !slices.Contains(client.RedirectURIs, q.Get("redirect_uri")) {
		p.page(w, http.StatusBadRequest, pageData{Problem: "Adresse de retour inconnue · Unknown redirect_uri"})
		return
	}
	req := request{
		client: client, redirectURI: q.Get("redirect_uri"), state: q.Get("state"), nonce: q.Get("nonce"),
		challenge: q.Get("code_challenge"), scope: q.Get("scope"),
	}
	if code, why := wrong(q); code != "" {
		p.back(w, r, req, url.Values{"error": {code}, "error_description": {why}})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.sessionOf(r); s != nil && q.Get("prompt") != "login" {
		p.giveCode(w, r, req, s)
		return
	}
	if q.Get("prompt") == "none" {
		p.back(w, r, req, url.Values{"error": {"login_required"}})
		return
	}
	if !p.room() {
		p.back(w, r, req, url.Values{"error": {"temporarily_unavailable"}})
		return
	}
	id := random()
	p.logins[id] = &login{request: req, expires: p.config.Now().Add(loginLifetime)}
	p.page(w, http.StatusOK, pageData{Client: client.ID, Action: Path + ChoicePath + "?login=" + id, People: p.config.People})
}

// wrong returns the error code of a request that PSC would not take, and "" for one that it would.
func wrong(q url.Values) (code, why string) {
	for name, values := range q {
		if len(values) > 1 {
			return "invalid_request", name + " more than once" // RFC 6749, section 3.1
		}
	}
	switch {
	case q.Get("response_type") != "code":
		return "unsupported_response_type", "only code"
	case !slices.Contains(strings.Fields(q.Get("scope")), "openid"):
		return "invalid_scope", "openid is missing"
	case q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43:
		return "invalid_request", "PKCE with S256 is required"
	case q.Get("state") == "" || q.Get("nonce") == "":
		return "invalid_request", "state and nonce are required"
	}
	return "", ""
}

// choose takes the choice of the page: the key of a person, or nothing.
func (p *Provider) choose(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := r.URL.Query().Get("login")
	l := p.logins[id]
	delete(p.logins, id)
	if l == nil || p.config.Now().After(l.expires) {
		p.page(w, http.StatusBadRequest, pageData{Problem: "Cette demande n’existe plus · This request is over"})
		return
	}
	key := r.PostFormValue("person")
	if key == "" {
		p.back(w, r, l.request, url.Values{"error": {"access_denied"}, "error_description": {"the person cancelled"}})
		return
	}
	person := p.config.person(key)
	if person == nil {
		p.page(w, http.StatusBadRequest, pageData{Problem: "Personne inconnue · Unknown person"})
		return
	}
	if !p.room() {
		p.back(w, r, l.request, url.Values{"error": {"temporarily_unavailable"}})
		return
	}
	if old := p.sessionOf(r); old != nil {
		old.ended = true
	}
	now, cookie := p.config.Now(), random()
	s := &session{id: random(), person: person, began: now, expires: now.Add(SessionLifetime)}
	p.sessions[cookie] = s
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: cookie, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	p.giveCode(w, r, l.request, s)
}

// sessionOf returns the open session of a browser, or nil. p.mu is held.
func (p *Provider) sessionOf(r *http.Request) *session {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	s := p.sessions[cookie.Value]
	if s == nil || s.ended || p.config.Now().After(s.expires) {
		return nil
	}
	return s
}

// giveCode sends the browser back with a code. p.mu is held.
func (p *Provider) giveCode(w http.ResponseWriter, r *http.Request, req request, s *session) {
	code := random()
	p.codes[code] = &grant{request: req, session: s, expires: p.config.Now().Add(codeLifetime)}
	p.back(w, r, req, url.Values{"code": {code}, "session_state": {s.id}})
}

// back sends the browser back to the relying party (RFC 9207 adds iss).
func (p *Provider) back(w http.ResponseWriter, r *http.Request, req request, answer url.Values) {
	to, err := url.Parse(req.redirectURI)
	if err != nil { // unreachable: it is one of the client's
		http.Error(w, "redirect_uri", http.StatusInternalServerError)
		return
	}
	answer.Set("iss", p.config.Issuer)
	if req.state != "" {
		answer.Set("state", req.state)
	}
	q := to.Query()
	for name, values := range answer {
		q[name] = values
	}
	to.RawQuery = q.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}
