package pscstub

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// KeyID returns the id under which a provider publishes its key: the thumbprint of RFC 7638.
func KeyID(key *rsa.PublicKey) string {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "" // unreachable: RSA keys have one
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// KeySet returns the document that a provider with these keys publishes.
func KeySet(keys ...*rsa.PublicKey) jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: KeyID(key), Algorithm: string(jose.RS256), Use: "sig"})
	}
	return set
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, KeySet(&p.config.Key.PublicKey))
}

// discovery answers as PSC does: it advertises more than it takes, among others private_key_jwt, and levels of assurance that do not exist.
func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	at := func(path string) string { return p.config.Issuer + path }
	every := []string{"PS384", "RS384", "EdDSA", "ES384", "HS256", "HS512", "ES256", "RS256", "HS384", "ES512", "PS256", "PS512", "RS512"}
	reply(w, http.StatusOK, map[string]any{
		"issuer":                                         p.config.Issuer,
		"authorization_endpoint":                         p.config.Wallet,
		"token_endpoint":                                 at(TokenPath),
		"userinfo_endpoint":                              at(UserinfoPath),
		"end_session_endpoint":                           at(LogoutPath),
		"jwks_uri":                                       at(KeysPath),
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"subject_types_supported":                        []string{"public", "pairwise"},
		"acr_values_supported":                           []string{"0", "0"},
		"scopes_supported":                               []string{"openid", "scope_all"},
		"id_token_signing_alg_values_supported":          every,
		"userinfo_signing_alg_values_supported":          append(every[:len(every):len(every)], "none"),
		"token_endpoint_auth_methods_supported":          []string{"private_key_jwt", "client_secret_basic", "client_secret_post", "tls_client_auth", "client_secret_jwt"},
		"code_challenge_methods_supported":               []string{"plain", "S256"},
		"tls_client_certificate_bound_access_tokens":     true,
		"backchannel_logout_supported":                   true,
		"backchannel_logout_session_supported":           true,
		"frontchannel_logout_supported":                  true,
		"claims_parameter_supported":                     true,
		"authorization_response_iss_parameter_supported": true,
	})
}
