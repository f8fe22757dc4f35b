package pscstub

import (
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// userinfo is the userinfo endpoint (OpenID Connect Core 1.0, section 5.3).
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	person := (*Person)(nil)
	if strings.EqualFold(scheme, "Bearer") {
		person = p.holder(token)
	}
	if person == nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="esante-wallet", error="invalid_token"`)
		refuse(w, http.StatusUnauthorized, "invalid_token", "Token verification failed")
		return
	}
	reply(w, http.StatusOK, person.Claims())
}

// holder returns who an access token is about, or nil.
func (p *Provider) holder(token string) *Person {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil
	}
	var claims struct {
		JTI string `json:"jti"`
		Typ string `json:"typ"`
	}
	if err := parsed.Claims(&p.config.Key.PublicKey, &claims); err != nil || claims.Typ != "Bearer" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.access[claims.JTI]
	if a == nil || p.config.Now().After(a.expires) || p.over(a.grant) {
		return nil
	}
	return a.grant.session.person
}
