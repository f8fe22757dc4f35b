package psctest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"promess/authgw/internal/pscstub"
)

// personal are the claims of a token that are about the person.
var personal = []string{"SubjectNameID", "PSISubjectNameID", "preferred_username", "otherIds", "authMode", "auth_level"}

// alterTokens changes the ID token of an answer of the token endpoint.
func (s *Server) alterTokens(answer *httptest.ResponseRecorder, q Quirks, refresh bool) error {
	var tokens map[string]any
	if err := json.Unmarshal(answer.Body.Bytes(), &tokens); err != nil {
		return err
	}
	original, _ := tokens["id_token"].(string)
	claims, err := decode(original)
	if err != nil {
		return err
	}
	before, _ := json.Marshal(claims) // it was JSON
	if refresh && q.RefreshPerson != "" {
		if err := s.become(claims, tokens["access_token"], q); err != nil {
			return err
		}
	}
	s.alterClaims(claims, q)
	if refresh && q.RefreshAuthTime != 0 {
		claims["auth_time"] = seconds(claims["auth_time"]) + int64(q.RefreshAuthTime/time.Second)
	}
	changed := original
	if after, _ := json.Marshal(claims); string(after) != string(before) || s.rotated() || q.IDToken != "" {
		if changed, err = s.signAs(claims, q.IDToken); err != nil {
			return err
		}
	}
	s.remember(claims, original, changed)
	if tokens["id_token"] = changed; q.IDToken == IDTokenMissing {
		delete(tokens, "id_token")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		if token, _ := tokens[name].(string); token != "" && len(s.given) < remembered {
			s.given = append(s.given, token)
		}
	}
	return setJSON(answer, tokens)
}

// become makes an ID token, and the userinfo of its access token, those of somebody else.
func (s *Server) become(claims map[string]any, accessToken any, q Quirks) error {
	p := s.person(q.RefreshPerson)
	token, _ := accessToken.(string)
	if p == nil || token == "" {
		return errors.New("RefreshPerson: no such person, or no access token")
	}
	who := &identity{person: p, sub: p.Sub}
	if q.RefreshKeepSub {
		who.sub, _ = claims["sub"].(string)
	}
	claims["sub"], claims["SubjectNameID"], claims["preferred_username"] = who.sub, p.NameID, p.NameID
	delete(claims, "otherIds")
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.changed) < remembered {
		s.changed[token] = who
	}
	return nil
}

func (s *Server) alterClaims(claims map[string]any, q Quirks) {
	hour, foreign := int64(time.Hour/time.Second), "https://"+ForeignHost+pscstub.Path
	if q.Sub == SubLegacy {
		nameID, _ := claims["SubjectNameID"].(string)
		claims["sub"] = LegacySub(nameID)
	}
	switch q.ACR {
	case "":
	case ACRNone:
		delete(claims, "acr")
	default:
		claims["acr"] = q.ACR
	}
	if q.BareIDToken {
		for _, name := range personal {
			delete(claims, name)
		}
	}
	switch q.IDToken {
	case IDTokenWrongNonce:
		claims["nonce"] = "not-the-nonce"
	case IDTokenNoNonce:
		delete(claims, "nonce")
	case IDTokenWrongIssuer:
		claims["iss"] = foreign
	case IDTokenWrongAudience:
		claims["aud"] = "another-client"
	case IDTokenTwoAudiences:
		claims["aud"], claims["azp"] = []any{claims["aud"], "another-client"}, "another-client"
	case IDTokenWrongAzp:
		claims["azp"] = "another-client"
	case IDTokenExpired:
		claims["iat"], claims["exp"], claims["auth_time"] = seconds(claims["iat"])-hour, seconds(claims["exp"])-hour, seconds(claims["auth_time"])-hour
	case IDTokenFuture:
		claims["iat"], claims["exp"], claims["nbf"] = seconds(claims["iat"])+hour, seconds(claims["exp"])+hour, seconds(claims["iat"])+hour
	case IDTokenWrongAtHash:
		claims["at_hash"] = base64.RawURLEncoding.EncodeToString(make([]byte, 16))
	case IDTokenNoAuthTime:
		delete(claims, "auth_time")
	case IDTokenOldAuthTime:
		claims["auth_time"] = seconds(claims["auth_time"]) - 5*hour
	case IDTokenNoSub:
		delete(claims, "sub")
	}
}

// seconds reads a time of a token.
func seconds(v any) int64 {
	n, _ := v.(json.Number)
	i, _ := n.Int64()
	return i
}

// decode returns the claims of a token of the core, whose signature is not in question.
func decode(token string) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a token")
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	var claims map[string]any
	return claims, d.Decode(&claims)
}

// signAs signs claims, in the way that a quirk says.
func (s *Server) signAs(claims map[string]any, quirk IDTokenQuirk) (string, error) {
	key := s.key()
	kid := pscstub.KeyID(&key.PublicKey)
	switch quirk {
	case IDTokenAlgNone:
		return unsigned(claims)
	case IDTokenOtherKey:
		return sign(claims, jose.RS256, s.other, kid)
	case IDTokenUnknownKey:
		return sign(claims, jose.RS256, s.other, pscstub.KeyID(&s.other.PublicKey))
	case IDTokenHS256:
		return sign(claims, jose.HS256, []byte(s.secretOf(claims)), "")
	case IDTokenHS256Public:
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			return "", err
		}
		return sign(claims, jose.HS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), kid)
	}
	return sign(claims, jose.RS256, key, kid)
}

// secretOf returns the secret of the client that a token is for, made longer where it is too short for HS256.
func (s *Server) secretOf(claims map[string]any) string {
	for _, c := range s.config.Clients {
		if c.ID == claims["aud"] {
			return c.Secret + strings.Repeat("\x00", max(0, 32-len(c.Secret))) // RFC 2104: HMAC pads a key with zeros
		}
	}
	return strings.Repeat("\x00", 32)
}

func sign(claims map[string]any, alg jose.SignatureAlgorithm, key any, kid string) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

func unsigned(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(payload) + ".", nil
}

// alterUserinfo changes an answer of the userinfo endpoint.
func (s *Server) alterUserinfo(answer *httptest.ResponseRecorder, q Quirks, r *http.Request) error {
	d := json.NewDecoder(answer.Body)
	d.UseNumber()
	var claims map[string]any
	if err := d.Decode(&claims); err != nil {
		return err
	}
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if who := s.changedTo(token); who != nil {
		claims = who.person.Claims()
		claims["sub"] = who.sub
	}
	if q.UserinfoAnother {
		i := slices.IndexFunc(s.config.People, func(p pscstub.Person) bool { return p.NameID != claims["SubjectNameID"] })
		if i < 0 {
			return errors.New("UserinfoAnother: there is nobody else")
		}
		claims = s.config.People[i].Claims()
	}
	if q.Sub == SubLegacy {
		nameID, _ := claims["SubjectNameID"].(string)
		claims["sub"] = LegacySub(nameID)
	}
	thin(claims, q.Userinfo)
	maps.Copy(claims, q.UserinfoExtra)
	return s.sendUserinfo(answer, claims, q.UserinfoFormat, token)
}

// thin leaves out of userinfo what a quirk leaves out.
func thin(claims map[string]any, quirk UserinfoQuirk) {
	keep := func(names ...string) {
		maps.DeleteFunc(claims, func(name string, _ any) bool { return !slices.Contains(names, name) })
	}
	switch quirk {
	case UserinfoSparse:
		role, _ := claims["SubjectRole"].([]any)
		profession := ""
		if len(role) > 0 {
			profession, _, _ = strings.Cut(role[0].(string), "^")
		}
		claims["SubjectRefPro"] = map[string]any{"codeCivilite": "M", "exercices": []any{map[string]any{
			"codeProfession": profession, "nomDexercice": claims["family_name"], "prenomDexercice": claims["given_name"], "codeTypeSavoirFaire": "",
		}}}
		keep("sub", "Secteur_Activite", "email_verified", "SubjectOrganization", "preferred_username", "given_name", "family_name",
			"SubjectRefPro", "SubjectRole", "SubjectNameID")
	case UserinfoNoExercise:
		keep("sub", "preferred_username", "given_name", "family_name", "SubjectNameID")
	case UserinfoNoSub:
		delete(claims, "sub")
	case UserinfoNoNameID:
		delete(claims, "SubjectNameID")
	}
}

// sendUserinfo writes userinfo in a format (OpenID Connect Core 1.0, section 5.3.2).
func (s *Server) sendUserinfo(answer *httptest.ResponseRecorder, claims map[string]any, format UserinfoFormat, accessToken string) error {
	switch format {
	case UserinfoJSON:
		return setJSON(answer, claims)
	case UserinfoNotJSON:
		setPage(answer)
		return nil
	}
	access, err := decode(accessToken)
	if err != nil {
		return err
	}
	claims["iss"], claims["aud"] = s.config.Issuer, access["azp"]
	how := IDTokenQuirk("")
	switch format {
	case UserinfoJWTOtherKey:
		how = IDTokenOtherKey
	case UserinfoJWTNone:
		how = IDTokenAlgNone
	case UserinfoJWTAudience:
		claims["aud"] = "another-client"
	case UserinfoJWTIssuer:
		claims["iss"] = "https://" + ForeignHost + pscstub.Path
	}
	token, err := s.signAs(claims, how)
	if err != nil {
		return err
	}
	answer.Header().Set("Content-Type", "application/jwt")
	if format == UserinfoJWTAsJSONType {
		answer.Header().Set("Content-Type", "application/json")
	}
	answer.Body.Reset()
	answer.Body.WriteString(token)
	return nil
}

func (s *Server) key() *rsa.PrivateKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[0]
}

func (s *Server) rotated() bool { return s.key() != s.original }

func (s *Server) publicKeys() []*rsa.PublicKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*rsa.PublicKey
	for _, key := range s.keys {
		all = append(all, &key.PublicKey)
	}
	return all
}

func (s *Server) changedTo(token string) *identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed[token]
}

// remember keeps what an ID token said, and which one the core knows it as.
func (s *Server) remember(claims map[string]any, original, changed string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.issued) < remembered {
		s.issued = append(s.issued, claims)
	}
	if changed != original && len(s.hints) < remembered {
		s.hints[changed] = original
	}
}

// restoreHint gives the core, at a logout, the ID token that it knows.
func (s *Server) restoreHint(r *http.Request, form url.Values) {
	query := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, values := range []url.Values{query, form} {
		if original, ok := s.hints[values.Get("id_token_hint")]; ok {
			values.Set("id_token_hint", original)
		}
	}
	r.URL.RawQuery = query.Encode()
}
