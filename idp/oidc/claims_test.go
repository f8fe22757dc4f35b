package oidc_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
)

// given is the body of a grant.
const given = `{"sub":"s-1","account":"a-1","acr":"urn:authgw:acr:hardware","amr":["sc","pin","mfa"],"auth_time":1795521600,"sid":"sid-1","scopes":["openid"]}`

// claimsOf returns the claims of a session as JSON has them.
func claimsOf(t *testing.T, f *front, v store.Session, scopes ...string) map[string]any {
	t.Helper()
	all, err := f.provider.Claims(t.Context(), v, []byte(given), scopes...)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return body(t, data)
}

// worker is a session of somebody who chose a situation.
func worker(t *testing.T, f *front) store.Session {
	t.Helper()
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	v := f.Session(t, b)
	if err := f.Store.AddStructure(t.Context(), v.Account.Subject, "10B0057881", "HOPITAL GENERIQUE", f.Now()); err != nil {
		t.Fatal(err)
	}
	v.Account.Mailbox, v.Account.LoginName = "jeanne.martin@hopital.mssante.fr", "jmartin"
	v.Situation = `{"profession":"10","sector":"SA07","mode":"L","structure_id":"499700000001006","technical_id":"R900001","structure_name":"CABINET MARTIN","place":"75009 PARIS"}`
	return v
}

// F12: each scope reveals its own claims, and no other.
func TestF12ScopesRevealTheirClaims(t *testing.T) {
	f := newFront(t, agenda())
	v := worker(t, f)
	always := map[string]any{"sub": "s-1", "acr": "urn:authgw:acr:hardware", "amr": []any{"sc", "pin", "mfa"}, "auth_time": 1795521600.0, "sid": "sid-1"}
	for scope, want := range map[string]map[string]any{
		"openid":         {},
		"offline_access": {},
		"profile":        {"name": "JEANNE MARTIN", "given_name": "JEANNE", "family_name": "MARTIN", "preferred_username": "jmartin"},
		"email":          {"email": "jeanne.martin@hopital.mssante.fr", "email_verified": true},
		"national_id":    {"national_id": "899700218896", "national_id_type": "RPPS"},
		"profession":     {"profession": "10"},
		"structures":     {"structures": []any{map[string]any{"id": "10B0057881", "name": "HOPITAL GENERIQUE"}}},
		"card":           {"card_type": "CPS"},
		"situation": {"situation": map[string]any{"profession": "10", "sector": "SA07", "mode": "L", "structure_id": "499700000001006", "technical_id": "R900001",
			"structure_name": "CABINET MARTIN", "place": "75009 PARIS"}},
	} {
		for name, value := range always {
			want[name] = value
		}
		if diff := cmp.Diff(want, claimsOf(t, f, v, "openid", scope)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", scope, diff)
		}
	}
	// What is not known is not there.
	empty := store.Session{Account: store.Account{Subject: "a-1"}}
	got := claimsOf(t, f, empty, "openid", "profile", "email", "national_id", "profession", "card", "situation")
	if diff := cmp.Diff(always, got); diff != "" {
		t.Errorf("of somebody who is not known (-want +got):\n%s", diff)
	}
}

// A service made for Pro Santé Connect reads what it reads there: the names and shapes are those of its userinfo.
func TestPSCScopeHasTheNamesOfProSanteConnect(t *testing.T) {
	f := newFront(t, agenda())
	v := worker(t, f)
	got := claimsOf(t, f, v, "openid", "psc")
	want := map[string]any{
		"SubjectNameID": "899700218896", "preferred_username": "899700218896", "given_name": "JEANNE", "family_name": "MARTIN", "authMode": "CARD", "UITVersion": "1.0",
		"SubjectRole": []any{"10^1.2.250.1.213.1.1.5.5"}, "Secteur_Activite": "SA07^1.2.250.1.71.4.2.4",
		"SubjectOrganization": "CABINET MARTIN", "SubjectOrganizationID": "R900001",
		"otherIds": []any{map[string]any{"identifiant": "899700218896", "origine": "RPPS", "qualite": 1.0}},
		"SubjectRefPro": map[string]any{"exercices": []any{map[string]any{
			"codeProfession": "10", "codeCategorieProfessionnelle": "", "codeSavoirFaire": "", "nomDexercice": "MARTIN", "prenomDexercice": "JEANNE",
			"activities": []any{map[string]any{
				"codeModeExercice": "L", "codeSecteurDactivite": "SA07", "codeRole": "", "identifiantTechniqueDeLaStructure": "R900001",
				"ancienIdentifiantDeLaStructure": "499700000001006", "raisonSocialeSite": "CABINET MARTIN", "bureauCedex": "75009 PARIS",
			}},
		}}},
		"sub": "s-1", "acr": "urn:authgw:acr:hardware", "amr": []any{"sc", "pin", "mfa"}, "auth_time": 1795521600.0, "sid": "sid-1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(got, claimsOf(t, f, v, "openid", "scope_all")); diff != "" {
		t.Errorf("scope_all is another scope:\n%s", diff)
	}
	v.Situation = "" // then it is the record's structures
	exercises := claimsOf(t, f, v, "openid", "psc")["SubjectRefPro"].(map[string]any)["exercices"].([]any)
	activities := exercises[0].(map[string]any)["activities"].([]any)
	if len(activities) != 1 || activities[0].(map[string]any)["ancienIdentifiantDeLaStructure"] != "10B0057881" {
		t.Errorf("activities %v", activities)
	}
}

// F11: nothing that a record or another provider says becomes a claim of its own name.
func TestF11ReservedClaimsCannotBeOverwritten(t *testing.T) {
	f := newFront(t, agenda())
	v := worker(t, f)
	v.Situation = `{"sub":"admin","acr":"urn:authgw:acr:hardware2","iss":"https://evil.example","aud":"x","exp":1,"sid":"x","auth_time":1,"profession":"10"}`
	v.Account.GivenName, v.Account.LoginName = `","sub":"admin`, "sub"
	all := claimsOf(t, f, v, "openid", "profile", "email", "national_id", "profession", "structures", "card", "situation", "psc", "offline_access")
	if all["sub"] != "s-1" || all["acr"] != "urn:authgw:acr:hardware" || all["auth_time"] != 1795521600.0 || all["sid"] != "sid-1" {
		t.Errorf("%v %v %v %v", all["sub"], all["acr"], all["auth_time"], all["sid"])
	}
	for _, name := range []string{"iss", "aud", "exp", "iat", "nbf", "jti", "nonce", "azp", "at_hash", "c_hash", "events", "scope", "client_id", "cnf", "active"} {
		if _, has := all[name]; has {
			t.Errorf("claim %s is there", name)
		}
	}
	if data, _ := json.Marshal(all["situation"]); strings.Contains(string(data), "admin") || strings.Contains(string(data), "evil") {
		t.Errorf("situation %s", data)
	}
}

// OpenID Connect Discovery 1.0, section 4.2, and RFC 8414, section 3: what is listed works, and what is refused is not listed.
func TestDiscoveryListsWhatWorks(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	got := b.Get("/.well-known/openid-configuration")
	if got.Status != http.StatusOK || got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Fatalf("%d %v", got.Status, got.Header)
	}
	if other := b.Get("/.well-known/oauth-authorization-server"); other.Body != got.Body {
		t.Error("the two documents differ")
	}
	d := body(t, []byte(got.Body))
	for name, want := range map[string]any{
		"issuer": "https://auth.example.test", "authorization_endpoint": "https://auth.example.test/oauth/authorize", "token_endpoint": "https://auth.example.test/oauth/token",
		"userinfo_endpoint": "https://auth.example.test/oauth/userinfo", "jwks_uri": "https://auth.example.test/oauth/keys", "end_session_endpoint": "https://auth.example.test/oauth/end_session",
		"response_types_supported": []any{"code"}, "response_modes_supported": []any{"query", "form_post"}, "code_challenge_methods_supported": []any{"S256"},
		"grant_types_supported":   []any{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
		"subject_types_supported": []any{"public", "pairwise"}, "id_token_signing_alg_values_supported": []any{"ES256", "RS256"},
		"authorization_response_iss_parameter_supported": true, "claims_parameter_supported": false, "request_parameter_supported": false, "request_uri_parameter_supported": false,
	} {
		if diff := cmp.Diff(want, d[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if d["mtls_endpoint_aliases"] != nil || slices.Contains(d["token_endpoint_auth_methods_supported"].([]any), any("self_signed_tls_client_auth")) {
		t.Error("certificates of clients are listed, and there is no host for them")
	}
	// Everything that a client may ask for is in what is listed.
	b.LogIn()
	for _, scope := range d["scopes_supported"].([]any) {
		wantCode(t, ask(b, "scope", "openid "+scope.(string)))
	}
	for _, prompt := range d["prompt_values_supported"].([]any) {
		if got := ask(b, "prompt", prompt.(string)); strings.Contains(got.Location, "error=invalid_request") {
			t.Errorf("prompt %s is refused", prompt)
		}
	}
}

// What is asked for is what is shown: each scope that a client may have adds to the list of the consent page, in one place.
func TestConsentPageListsEveryScope(t *testing.T) {
	s := agenda()
	s.Consent = true
	f := newFront(t, s)
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	base, _ := consented(t, b, ask(b, "scope", "openid"))
	items := strings.Count(base.Body, "<li>")
	for _, scope := range client.ScopesKnown() {
		page, _ := consented(t, b, ask(b, "scope", "openid "+scope))
		want := items + 1
		if scope == "openid" {
			want = items
		}
		if got := strings.Count(page.Body, "<li>"); got != want {
			t.Errorf("%s: %d lines, want %d", scope, got, want)
		}
	}
}
