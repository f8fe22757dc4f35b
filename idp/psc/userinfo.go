package psc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode"
)

// info is what the userinfo endpoint says, as far as it counts here. Any of it may be missing, empty, or of another kind than expected,
// which is the same as missing; keys that are not known are passed over.
type info struct {
	Sub        string     `json:"sub"`
	NameID     text       `json:"SubjectNameID"`
	GivenName  text       `json:"given_name"`
	FamilyName text       `json:"family_name"`
	Roles      list[text] `json:"SubjectRole"` // code^OID of its table
	Pro        struct {
		Exercises list[exercise] `json:"exercices"`
	} `json:"-"`
}

type exercise struct {
	Profession text           `json:"codeProfession"`
	Category   text           `json:"codeCategorieProfessionnelle"`
	Speciality text           `json:"codeSavoirFaire"`
	Activities list[activity] `json:"activities"`
}

type activity struct {
	Mode       text `json:"codeModeExercice"`
	Sector     text `json:"codeSecteurDactivite"`
	Role       text `json:"codeRole"`
	Technical  text `json:"identifiantTechniqueDeLaStructure"`
	Structure  text `json:"ancienIdentifiantDeLaStructure"` // with the digit of its type in front, as cards have it
	FINESS     text `json:"numeroFinessSite"`
	SIRET      text `json:"numeroSiretSite"`
	Name       text `json:"raisonSocialeSite"`
	Sign       text `json:"enseigneCommercialeSite"`
	PostalCode text `json:"codePostal"`
	Town       text `json:"bureauCedex"`
}

// text is a string; anything else is none.
type text string

// UnmarshalJSON implements json.Unmarshaler. It accepts everything.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = text(s)
	}
	return nil
}

// list is an array, of which the elements that are of another kind are left out; anything else is an empty one.
type list[T any] []T

// maxElements bounds a list: a person has a few exercises, and each a few activities.
const maxElements = 50

// UnmarshalJSON implements json.Unmarshaler. It accepts everything.
func (l *list[T]) UnmarshalJSON(b []byte) error {
	var raw []json.RawMessage
	if json.Unmarshal(b, &raw) != nil {
		return nil
	}
	for _, r := range raw[:min(len(raw), maxElements)] {
		var v T
		if json.Unmarshal(r, &v) == nil {
			*l = append(*l, v)
		}
	}
	return nil
}

// userinfo asks who an access token is about (OpenID Connect Core 1.0, section 5.3). The answer is JSON, or a JWT that PSC has signed for
// us.
func (m *Method) userinfo(ctx context.Context, d *document, accessToken string) (*info, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.config.UserInfoURL, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	r.Header.Set("Accept", "application/json, application/jwt")
	answer, err := m.client.Do(r)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, unfit("userinfo is too large", nil)
	case err != nil:
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body) // which is bounded: see guard
	switch {
	case err != nil:
		return nil, err
	case answer.StatusCode >= 500:
		return nil, fmt.Errorf("the userinfo endpoint answers %d", answer.StatusCode)
	case answer.StatusCode != http.StatusOK:
		return nil, unfit(fmt.Sprintf("userinfo answers %d", answer.StatusCode), nil)
	}
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	// Some say that a JWT is JSON. Which it is, its first letter tells; as a JWT it is verified in any case.
	if kind == "application/jwt" || len(body) > 0 && body[0] == 'e' {
		if body, err = m.verifyUserinfo(ctx, d, string(body)); err != nil {
			return nil, err
		}
	}
	return readInfo(body)
}

// verifyUserinfo returns the claims of a signed userinfo: by PSC, for us (section 5.3.2), with RS256.
func (m *Method) verifyUserinfo(ctx context.Context, d *document, jwt string) ([]byte, error) {
	verified, err := d.verifier.Verify(ctx, strings.TrimSpace(jwt))
	if err != nil && (m.keyless.Load() || ctx.Err() != nil) {
		return nil, errKeyless
	}
	if err != nil {
		return nil, unfit("issuer, audience or signature of userinfo", err)
	}
	var raw json.RawMessage
	var times struct {
		Exp *json.Number `json:"exp"`
	}
	if verified.Claims(&raw) != nil || verified.Claims(&times) != nil {
		return nil, unfit("claims of userinfo", nil)
	}
	if times.Exp != nil && !m.Now().Before(seconds(*times.Exp).Add(leeway)) {
		return nil, unfit("exp of userinfo", nil)
	}
	return raw, nil
}

// readInfo reads an answer in JSON.
func readInfo(body []byte) (*info, error) {
	var i info
	if err := json.Unmarshal(body, &i); err != nil {
		return nil, unfit("userinfo is no JSON object", nil)
	}
	var outer struct {
		Pro json.RawMessage `json:"SubjectRefPro"`
	}
	if json.Unmarshal(body, &outer) == nil && len(outer.Pro) > 0 {
		_ = json.Unmarshal(outer.Pro, &i.Pro) // of another kind than expected: as if it were missing
	}
	return &i, nil
}

// profession is the code of the person's profession where all that is said agrees; empty: it is not known, or there are several.
func (i *info) profession() string {
	code := ""
	for _, e := range i.Pro.Exercises {
		switch p := codeOf(e.Profession); {
		case p == "":
		case code == "":
			code = p
		case code != p:
			return ""
		}
	}
	if code == "" && len(i.Roles) == 1 {
		role, _, _ := strings.Cut(string(i.Roles[0]), "^")
		code = codeOf(text(role))
	}
	return code
}

// codeOf returns a code of a nomenclature; anything else is none.
func codeOf(t text) string {
	bad := func(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'Z') }
	if len(t) > 20 || strings.ContainsFunc(string(t), bad) {
		return ""
	}
	return string(t)
}

// clean returns a line of text for people; one that is none, or too long, is empty.
func clean(t text) string {
	s := strings.TrimSpace(string(t))
	if len(s) > maxClaim || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	return s
}

// structure returns the identifier of a structure as cards have it: with the digit of its type in front.
func (a activity) structure() string {
	for _, id := range []text{a.Structure, prefixed("1", a.FINESS), prefixed("3", a.SIRET)} {
		if code := codeOf(id); len(code) > 1 && code[0] >= '0' && code[0] <= '9' {
			return code
		}
	}
	return ""
}

func prefixed(digit string, id text) text {
	if id == "" {
		return ""
	}
	return text(digit) + id
}
