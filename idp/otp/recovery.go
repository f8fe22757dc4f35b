package otp

import (
	"net/http"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/store"
)

// Recovery codes: 21 characters of which none is taken for another on paper (no 0 O D Q, 1 I L, 2 Z, 5 S, 8 B, U V), ten of them: 43 bits,
// kept as keyed hashes, and guesses are throttled.
const (
	recoveryAlphabet = "34679ACEFGHJKMNPRTWXY"
	recoveryLength   = 10
	recoveryCount    = 10
	recoveryPurpose  = "recovery code"
)

// shown is a recovery code as it is printed.
func shown(code string) string { return code[:recoveryLength/2] + "-" + code[recoveryLength/2:] }

// readRecovery reads a recovery code as a person types it.
func readRecovery(typed string) (string, bool) { return readLetters(recoveryLength)(typed) }

func (m *Method) recoveryMAC(f store.Factor, code string) string {
	return m.Keys.MAC(recoveryPurpose, f.Subject, f.ID, code)
}

// proveRecovery uses a recovery code up, and tells the person how many are left.
func (m *Method) proveRecovery(r *http.Request, c running, code string) ([]proof, error) {
	s := m.Server
	for _, f := range c.factors {
		if f.Kind != store.Recovery {
			continue
		}
		macs, err := s.Store.RecoveryCodes(r.Context(), f.ID)
		if err != nil {
			return nil, err
		}
		found := ""
		for _, mac := range macs {
			if m.Keys.CheckMAC(recoveryPurpose, mac, f.Subject, f.ID, code) {
				found = mac // no early end: which one it was shows in no time
			}
		}
		if found == "" {
			continue
		}
		left, err := s.Store.UseRecoveryCode(r.Context(), f.ID, found, s.Now())
		if err != nil {
			return nil, err
		}
		s.Notify(r, c.account, mail.Notice{Kind: mail.RecoveryUsed, Left: left})
		return []proof{{acr: f.ACR}}, nil
	}
	return nil, store.ErrNotFound
}
