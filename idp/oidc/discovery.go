package oidc

import (
	"encoding/json"
	"net/http"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
)

// document is what a client finds out by itself (OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2). It lists what works, and
// nothing else.
type document struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	Userinfo      string `json:"userinfo_endpoint"`
	Keys          string `json:"jwks_uri"`
	Introspection string `json:"introspection_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	EndSession    string `json:"end_session_endpoint"`
	Device        string `json:"device_authorization_endpoint"`
	Pushed        string `json:"pushed_authorization_request_endpoint"` // RFC 9126, section 5
	PushedOnly    bool   `json:"require_pushed_authorization_requests"`

	Scopes        []string `json:"scopes_supported"`
	ResponseTypes []string `json:"response_types_supported"`
	ResponseModes []string `json:"response_modes_supported"`
	GrantTypes    []string `json:"grant_types_supported"`
	ACRs          []string `json:"acr_values_supported"`
	Subjects      []string `json:"subject_types_supported"`
	Signing       []string `json:"id_token_signing_alg_values_supported"`
	Challenges    []string `json:"code_challenge_methods_supported"` // RFC 8414
	Prompts       []string `json:"prompt_values_supported"`          // Initiating User Registration 1.0, section 4
	Claims        []string `json:"claims_supported"`
	ClaimTypes    []string `json:"claim_types_supported"`
	Displays      []string `json:"display_values_supported"`
	Locales       []string `json:"ui_locales_supported"`
	TokenAuth     []string `json:"token_endpoint_auth_methods_supported"`
	TokenSigning  []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	AskAuth       []string `json:"introspection_endpoint_auth_methods_supported"`
	AskSigning    []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevokeAuth    []string `json:"revocation_endpoint_auth_methods_supported"`
	RevokeSigning []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`

	IssuerInAnswer bool `json:"authorization_response_iss_parameter_supported"` // RFC 9207, section 3
	ClaimsParam    bool `json:"claims_parameter_supported"`
	RequestParam   bool `json:"request_parameter_supported"`
	RequestURI     bool `json:"request_uri_parameter_supported"` // true is the default
	RegisteredURI  bool `json:"require_request_uri_registration"`
	BackChannel    bool `json:"backchannel_logout_supported"`
	BackSID        bool `json:"backchannel_logout_session_supported"`
	FrontChannel   bool `json:"frontchannel_logout_supported"`
	FrontSID       bool `json:"frontchannel_logout_session_supported"`
	BoundTokens    bool `json:"tls_client_certificate_bound_access_tokens"`

	Aliases map[string]string `json:"mtls_endpoint_aliases,omitempty"` // RFC 8705, section 5
}

// describe returns the document of a provider.
func (p *Provider) describe() document {
	auth := []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}
	at := func(path string) string { return p.Issuer + path }
	d := document{
		Issuer: p.Issuer, Authorization: at(authorizePath), Token: at(tokenPath), Userinfo: at(userinfoPath), Keys: at(keysPath),
		Introspection: at(introspectPath), Revocation: at(revokePath), EndSession: at(endPath), Device: at(devicePath), Pushed: at(parPath),
		Scopes: client.ScopesKnown(), ResponseTypes: []string{"code"}, ResponseModes: []string{"query", "form_post"},
		GrantTypes: []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
		ACRs:       []string{idp.ACRHardware, idp.ACRTwoFactor}, Subjects: []string{"public", "pairwise"}, Signing: []string{"ES256", "RS256"},
		Challenges: []string{"S256"}, Prompts: []string{"none", "login", "consent", "select_account"},
		Claims: claimsSupported(), ClaimTypes: []string{"normal"}, Displays: []string{"page"}, Locales: []string{"fr", "en"},
		TokenSigning: assertionAlgorithms(), AskSigning: assertionAlgorithms(), RevokeSigning: assertionAlgorithms(),
		IssuerInAnswer: true, BackChannel: true, BackSID: true, FrontChannel: true, FrontSID: true,
	}
	if p.ClientCertOrigin != "" {
		auth = append(auth, "self_signed_tls_client_auth")
		d.Aliases = map[string]string{}
		for name, path := range map[string]string{
			"token_endpoint": tokenPath, "introspection_endpoint": introspectPath, "revocation_endpoint": revokePath,
			"pushed_authorization_request_endpoint": parPath, "device_authorization_endpoint": devicePath,
		} {
			d.Aliases[name] = p.ClientCertOrigin + path
		}
	}
	d.AskAuth = auth
	d.TokenAuth = append([]string{"none"}, auth...)
	d.RevokeAuth = d.TokenAuth
	return d
}

func assertionAlgorithms() []string { return []string{"ES256", "RS256", "PS256"} }

func claimsSupported() []string {
	return []string{
		"iss", "sub", "aud", "exp", "iat", "nonce", "acr", "amr", "auth_time", "sid", "azp", "at_hash",
		"name", "given_name", "family_name", "preferred_username", "email", "email_verified",
		"national_id", "national_id_type", "profession", "structures", "card_type", "situation",
		"SubjectNameID", "SubjectRole", "SubjectOrganization", "SubjectOrganizationID", "SubjectRefPro", "Secteur_Activite", "otherIds", "authMode", "UITVersion",
	}
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	body, err := json.Marshal(p.describe())
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError) // unreachable: texts
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Write(body)
}
