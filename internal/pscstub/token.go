package pscstub

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"time"
)

// token is the token endpoint (RFC 6749, sections 4.1.3 and 6).
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", "the form cannot be read")
		return
	}
	client := p.authenticate(r)
	if client == nil {
		w.Header().Set("WWW-Authenticate", `Basic realm="esante-wallet"`)
		refuse(w, http.StatusUnauthorized, "invalid_client", "Invalid client or Invalid client credentials")
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var g *grant
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		g = p.redeem(client, r)
	case "refresh_token":
		g = p.renew(client, r)
	default:
		refuse(w, http.StatusBadRequest, "unsupported_grant_type", "only authorization_code and refresh_token")
		return
	}
	if g == nil {
		refuse(w, http.StatusBadRequest, "invalid_grant", "Session not active or code not valid")
		return
	}
	p.giveTokens(w, g)
}

// redeem returns the grant of a code, once. p.mu is held.
func (p *Provider) redeem(client *Client, r *http.Request) *grant {
	g := p.codes[r.PostForm.Get("code")]
	if g == nil || g.client != client {
		return nil
	}
	if g.used {
		g.revoked = true // RFC 6749, section 4.1.2: what came of it is worth nothing any more
		return nil
	}
	g.used = true
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	if p.config.Now().After(g.expires) || r.PostForm.Get("redirect_uri") != g.redirectURI || p.over(g) ||
		subtle.ConstantTimeCompare([]byte(challenge), []byte(g.challenge)) != 1 {
		return nil
	}
	return g
}

// renew returns the grant of a refresh token, once. p.mu is held.
func (p *Provider) renew(client *Client, r *http.Request) *grant {
	t := p.refresh[r.PostForm.Get("refresh_token")]
	if t == nil || t.grant.client != client {
		return nil
	}
	if t.used {
		t.grant.revoked = true // somebody else has it too
		return nil
	}
	t.used = true
	if p.config.Now().After(t.expires) || p.over(t.grant) {
		return nil
	}
	return t.grant
}

// giveTokens answers with new tokens of a grant. p.mu is held.
func (p *Provider) giveTokens(w http.ResponseWriter, g *grant) {
	if !p.room() {
		refuse(w, http.StatusServiceUnavailable, "temporarily_unavailable", "too many tokens")
		return
	}
	now := p.config.Now()
	left := g.session.expires.Sub(now)
	accessFor, refreshFor := min(AccessLifetime, left), min(RefreshLifetime, left)
	accessID, refreshToken := "onrtac:"+random(), random()

	claims := p.claims(g, "Bearer", now, now.Add(accessFor))
	claims["jti"] = accessID
	accessToken, err := p.sign(claims)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "server_error", "cannot sign")
		return
	}
	sum := sha256.Sum256([]byte(accessToken))
	claims = p.claims(g, "ID", now, now.Add(accessFor))
	claims["jti"], claims["aud"] = random(), g.client.ID
	claims["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]) // OpenID Connect Core 1.0, section 3.1.3.6
	idToken, err := p.sign(claims)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "server_error", "cannot sign")
		return
	}
	p.access[accessID] = &access{grant: g, expires: now.Add(accessFor)}
	p.refresh[refreshToken] = &refresh{grant: g, expires: now.Add(refreshFor)}
	reply(w, http.StatusOK, map[string]any{
		"access_token": accessToken, "expires_in": seconds(accessFor), "refresh_token": refreshToken, "refresh_expires_in": seconds(refreshFor),
		"id_token": idToken, "token_type": "Bearer", "not-before-policy": 0, "session_state": g.session.id, "scope": g.scope,
	})
}

// claims returns what both tokens say. PSC's access tokens have azp and no aud.
func (p *Provider) claims(g *grant, kind string, now, expires time.Time) map[string]any {
	all := g.session.person.TokenClaims()
	for name, value := range map[string]any{
		"iss": p.config.Issuer, "sub": g.session.person.Sub, "azp": g.client.ID, "typ": kind, "sid": g.session.id, "nonce": g.nonce,
		"acr": "eidas1", "scope": g.scope, "iat": now.Unix(), "exp": expires.Unix(), "auth_time": g.session.began.Unix(),
	} {
		all[name] = value
	}
	return all
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
