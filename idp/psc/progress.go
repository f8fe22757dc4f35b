package psc

import (
	"encoding/json"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
)

// purposes of what is sealed.
const (
	sealLogin  = "psc login"
	sealTokens = "psc tokens"
	sealLeave  = "psc logout"
)

// step is where a login is.
type step string

const (
	asked    step = "asked"    // the browser is on its way to PSC
	back     step = "back"     // the browser has come back
	choosing step = "choosing" // the person chooses a situation
)

// progress is what is kept of a login between two requests of its browser. The verifier, the nonce and the tokens are secrets, so all of
// it is sealed.
type progress struct {
	Step     step   `json:"step"`
	Verifier string `json:"verifier,omitempty"`
	Nonce    string `json:"nonce,omitempty"`
	Found    *found `json:"found,omitempty"`
}

// found is what PSC has said of a person.
type found struct {
	Proof      idp.Proof   `json:"proof"`
	Situations []situation `json:"situations"`
	Sub        string      `json:"sub"`
	SID        string      `json:"sid"`
	Tokens     tokens      `json:"tokens"`
}

// sealProgress returns progress as the login of an ID keeps it.
func (m *Method) sealProgress(l store.Login, p progress) []byte {
	data, err := json.Marshal(p)
	if err != nil {
		panic("psc: " + err.Error()) // texts, numbers and times
	}
	return []byte(m.Keys.Seal(sealLogin, l.ID(), data))
}

func (m *Method) openProgress(l store.Login) (progress, error) {
	var p progress
	data, err := m.Keys.Open(sealLogin, l.ID(), string(l.Progress))
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	return p, err
}
