package otp

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

const (
	pendingPurpose = "totp enrolment"
	labelMost      = 40 // characters
)

// pending is a seed that no code has confirmed yet. It lies in the page, sealed for the session and the person: nobody reads, makes or
// moves one, and it is late when the login of its session is not recent any more. The id of the factor is in it, so that it is enrolled once.
type pending struct {
	ID   string `json:"id"`
	Seed []byte `json:"seed"`
}

func (m *Method) sealPending(v store.Session, p pending) (string, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	return m.Keys.Seal(pendingPurpose, v.ID+" "+v.Account.Subject, data), nil
}

// openPending returns what was sealed for a session; false for anything else.
func (m *Method) openPending(v store.Session, sealed string) (pending, bool) {
	var p pending
	data, err := m.Keys.Open(pendingPurpose, v.ID+" "+v.Account.Subject, sealed)
	if err != nil || json.Unmarshal(data, &p) != nil || p.ID == "" || len(p.Seed) != totpSeed {
		return pending{}, false
	}
	return p, true
}

// showSeed shows a new seed, to be put into an app. Nothing is kept of it.
func (m *Method) showSeed(w http.ResponseWriter, r *http.Request) {
	if v, ok := m.fresh(w, r, totpPath); ok {
		m.newSeed(w, r, v, http.StatusOK, "")
	}
}

func (m *Method) newSeed(w http.ResponseWriter, r *http.Request, v store.Session, status int, problem string) {
	p := pending{ID: idp.NewFactorID(), Seed: make([]byte, totpSeed)}
	rand.Read(p.Seed) // never fails
	sealed, err := m.sealPending(v, p)
	if err != nil {
		m.Server.Fault(w, r, "seal seed", err)
		return
	}
	m.renderSeed(w, r, v, p, status, web.TOTPPage{Pending: sealed, Problem: problem})
}

func (m *Method) renderSeed(w http.ResponseWriter, r *http.Request, v store.Session, p pending, status int, page web.TOTPPage) {
	page.Person, page.Action, page.Cancel, page.Digits = idp.Person(v), totpPath, "/account", totpDigits
	page.URI, page.Key, page.LabelMost = keyURI(m.Issuer, v.Account.NationalID, p.Seed), base32Seed.EncodeToString(p.Seed), labelMost
	m.Server.Pages.Render(w, r, status, page)
}

// confirmSeed enrols the app when it shows the right code. What cannot be a code proves nothing (D8).
func (m *Method) confirmSeed(w http.ResponseWriter, r *http.Request) {
	s := m.Server
	v, ok := m.fresh(w, r, totpPath)
	if !ok {
		return
	}
	var fields [3]string
	for i, name := range []string{"pending", "code", "label"} {
		if fields[i], ok = s.Field(w, r, name); !ok {
			return
		}
	}
	p, ok := m.openPending(v, fields[0])
	if !ok {
		m.newSeed(w, r, v, http.StatusUnprocessableEntity, "late")
		return
	}
	page := web.TOTPPage{Pending: fields[0], Label: clean(fields[2], labelMost), Problem: "wrong"}
	code, ok := readDigits(totpDigits)(fields[1])
	if !ok {
		m.renderSeed(w, r, v, p, http.StatusUnprocessableEntity, page)
		return
	}
	step, ok, err := totpStep(p.Seed, code, s.Now())
	switch {
	case err != nil:
		s.Fault(w, r, "check code", err)
	case !ok:
		m.renderSeed(w, r, v, p, http.StatusUnprocessableEntity, page)
	default:
		m.keepSeed(w, r, v, p, step, page.Label)
	}
}

// keepSeed enrols an app. The step that confirmed it is used (D3).
func (m *Method) keepSeed(w http.ResponseWriter, r *http.Request, v store.Session, p pending, step int64, label string) {
	s := m.Server
	has, err := m.factorsOf(r, v, store.TOTP)
	if slices.ContainsFunc(has, func(f store.Factor) bool { return f.ID == p.ID }) {
		http.Redirect(w, r, "/account?done=factor_added", http.StatusSeeOther) // the button was pressed twice
		return
	}
	added := false
	if err == nil {
		added, err = s.FactorAdded(r, v, store.Factor{
			ID: p.ID, Subject: v.Account.Subject, Kind: store.TOTP, Label: label, ACR: enrolled(v), Secret: m.Keys.Seal(totpPurpose, p.ID, p.Seed),
			Counter: step, Created: s.Now(),
		}, totpMost)
	}
	switch {
	case err != nil:
		s.Fault(w, r, "enrol app", err)
	case !added:
		m.newSeed(w, r, v, http.StatusConflict, "too_many")
	default:
		http.Redirect(w, r, "/account?done=factor_added", http.StatusSeeOther)
	}
}
