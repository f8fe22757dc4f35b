package qr

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"promess/authgw/idp/passkey"
	"promess/authgw/internal/store"
)

// Steps of a login and of an enrolment, in their order. A login is settled after picked; then it is approved.
const (
	stepShown     = "shown"     // the image waits for a phone
	stepClaimed   = "claimed"   // a phone has it
	stepPicked    = "picked"    // of a login: its person knows the number
	stepApproved  = "approved"  // of a login: the proof is recorded
	stepConfirmed = "confirmed" // of an enrolment: the workstation knows the number
	stepAdding    = "adding"    // of an enrolment: the key is being kept
	stepDone      = "done"      // of an enrolment
	stepEnded     = "ended"     // Reason says why
	stepOver      = "over"      // it is not there any more
)

// attempt is how far a login or an enrolment is. It is kept in the login's record.
type attempt struct {
	Step   string `json:"step"`
	Reason string `json:"reason,omitempty"`

	Began   time.Time `json:"began"`
	Source  string    `json:"source"`            // network address of the workstation
	Browser string    `json:"browser"`           // of the workstation, by its short name
	Service string    `json:"service,omitempty"` // that the person wants, by its name
	Numbers []string  `json:"numbers,omitempty"`
	Number  string    `json:"number"` // of these, the one that the workstation shows; of an enrolment, the one that the phone shows

	Phone string            `json:"phone,omitempty"` // hash of the token of the phone that has it
	Asked *passkey.Ceremony `json:"asked,omitempty"`

	// Of an enrolment: whose, and the session that asked.
	Session string `json:"session,omitempty"`
	Subject string `json:"subject,omitempty"`
	Label   string `json:"label,omitempty"`
}

// read returns how far a login is.
func read(l store.Login) (attempt, error) {
	var a attempt
	if err := json.Unmarshal(l.Progress, &a); err != nil {
		return a, fmt.Errorf("read attempt: %w", err)
	}
	if l.Settled {
		a.Step = stepApproved
	}
	return a, nil
}

// told is the step as the workstation and the phone are told it.
func (a attempt) told() string {
	if a.Step == stepAdding {
		return stepConfirmed
	}
	return a.Step
}

func (a attempt) write() ([]byte, error) { return json.Marshal(a) }

// advance writes a step, if nothing else was written meanwhile, and tells those who follow the login.
func (m *Method) advance(ctx context.Context, l store.Login, a attempt) (store.Login, error) {
	data, err := a.write()
	if err != nil {
		return l, err
	}
	if err := m.Store.AdvanceLogin(ctx, l, data, true, m.Now()); err != nil {
		return l, err
	}
	m.Server.Sessions.Changed(l.ID())
	l.Progress = data
	return l, nil
}

// maxSteps is more than a login or an enrolment has.
const maxSteps = 6

// end ends a login or an enrolment for a reason, which the workstation is told, however far it has come meanwhile: of several numbers that
// are sent at once, a wrong one ends it though a right one was faster. It says no when it is over already, or approved.
func (m *Method) end(ctx context.Context, l store.Login, a attempt, reason string) (bool, error) {
	for range maxSteps {
		a.Step, a.Reason, a.Asked = stepEnded, reason, nil
		_, err := m.advance(ctx, l, a)
		if !errors.Is(err, store.ErrNotFound) {
			return err == nil, err
		}
		if l, err = m.Store.LoginByHandle(ctx, l.Handle, l.Method, m.Now()); err == nil {
			a, err = read(l)
		}
		switch {
		case errors.Is(err, store.ErrNotFound) || err == nil && a.over():
			return false, nil
		case err != nil:
			return false, err
		}
	}
	return false, errors.New("end attempt: it does not stay at any step") // unreachable: there are fewer
}

// over says that nothing ends it any more.
func (a attempt) over() bool {
	return a.Step == stepApproved || a.Step == stepAdding || a.Step == stepDone || a.Step == stepEnded
}

// twoDigits are numbers that look different from each other, each of two digits.
func twoDigits(n int) []string {
	var all []string
	for len(all) < n {
		if one := fmt.Sprint(10 + random(90)); !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

func random(below int64) int64 {
	n, err := rand.Int(rand.Reader, big.NewInt(below))
	if err != nil {
		panic("qr: " + err.Error()) // crypto/rand does not fail
	}
	return n.Int64()
}
