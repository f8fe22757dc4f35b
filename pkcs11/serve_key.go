package pkcs11

import (
	"github.com/miekg/pkcs11"
)

func (s *server) login(slot uint, pin string) answer {
	session, ok := s.sessions[slot]
	if !ok {
		return answer{Failed: "C_Login", Code: pkcs11.CKR_SESSION_HANDLE_INVALID}
	}
	var a answer
	if err := s.ctx.Login(session, pkcs11.CKU_USER, pin); err != nil {
		a = failure("C_Login", err)
	} else if s.asksEachTime(session) {
		s.pins[slot] = pin
	}
	t := wireToken{Slot: slot}
	if s.tokenInfo(&t) == nil { // the flags say how many tries are left; a card that is gone has none
		a.Token = &t
	}
	return a
}

// asksEachTime reports whether a key of the token wants the PIN again at each signature (CKA_ALWAYS_AUTHENTICATE). The PIN that
// was just right is then kept here, in the child, so that the person types it once.
func (s *server) asksEachTime(session pkcs11.SessionHandle) bool {
	keys, err := s.find(session,
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_ALWAYS_AUTHENTICATE, true))
	return err == nil && len(keys) > 0
}

func (s *server) sign(r request) answer {
	session, ok := s.sessions[r.Slot]
	if !ok {
		return answer{Failed: "C_SignInit", Code: pkcs11.CKR_SESSION_HANDLE_INVALID}
	}
	// Keys are invisible before the login, so they are looked for now.
	keys, err := s.find(session,
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_ID, r.ID))
	if err != nil {
		return failure("C_FindObjects", err)
	}
	if len(keys) == 0 {
		return answer{NoKey: true}
	}
	if err := s.ctx.SignInit(session, mechanism(r.Mode), keys[0]); err != nil {
		return failure("C_SignInit", err)
	}
	if v, err := s.attribute(session, keys[0], pkcs11.CKA_ALWAYS_AUTHENTICATE); err == nil && len(v) == 1 && v[0] != 0 {
		pin, ok := s.pins[r.Slot] // empty for a PIN pad
		if !ok {
			return answer{Failed: "C_Login", Code: pkcs11.CKR_USER_NOT_LOGGED_IN}
		}
		if err := s.ctx.Login(session, pkcs11.CKU_CONTEXT_SPECIFIC, pin); err != nil {
			return failure("C_Login", err)
		}
	}
	signature, err := s.ctx.Sign(session, r.Data)
	if err != nil {
		return failure("C_Sign", err)
	}
	return answer{Signature: signature}
}

func mechanism(m Mode) []*pkcs11.Mechanism {
	var parameter any
	if m == ModePSS {
		parameter = pkcs11.NewPSSParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, pssSalt)
	}
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(m.mechanism(), parameter)}
}

func (s *server) logout() answer {
	for slot, session := range s.sessions {
		_ = s.ctx.Logout(session) // fails where there was no login
		_ = s.ctx.CloseSession(session)
		delete(s.sessions, slot)
		delete(s.pins, slot)
	}
	return answer{}
}
