package otp

import (
	"net/http"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
)

// enrolled is the level of what a session enrols: two factors, or its own if that is lower (D13).
func enrolled(v store.Session) string { return idp.Lower(idp.ACRTwoFactor, v.ACR) }

// fresh returns the session of a request that may change how its person signs in (D6), or answers the request and returns false.
func (m *Method) fresh(w http.ResponseWriter, r *http.Request, page string) (store.Session, bool) {
	v, ok := m.Server.Freshly(w, r)
	if !ok {
		return v, false
	}
	if !m.Server.Recent(v, idp.ACRTwoFactor) {
		m.Server.Again(w, r, v, idp.ACRTwoFactor, page)
		return v, false
	}
	return v, true
}

// factorsOf returns those of a person that are of a kind.
func (m *Method) factorsOf(r *http.Request, v store.Session, kind store.FactorKind) ([]store.Factor, error) {
	all, err := m.Server.Store.Factors(r.Context(), v.Account.Subject)
	var some []store.Factor
	for _, f := range all {
		if f.Kind == kind {
			some = append(some, f)
		}
	}
	return some, err
}
