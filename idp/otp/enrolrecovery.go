package otp

import (
	"net/http"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// offerCodes says what recovery codes are, and how many are left.
func (m *Method) offerCodes(w http.ResponseWriter, r *http.Request) {
	v, ok := m.fresh(w, r, recoveryPath)
	if !ok {
		return
	}
	page := web.RecoveryPage{Person: idp.Person(v), Action: recoveryPath, Done: "/account", Count: recoveryCount}
	has, err := m.factorsOf(r, v, store.Recovery)
	for _, f := range has {
		var macs []string
		if err == nil {
			macs, err = m.Server.Store.RecoveryCodes(r.Context(), f.ID)
		}
		page.Has, page.Left = true, len(macs)
	}
	if err != nil {
		m.Server.Fault(w, r, "count recovery codes", err)
		return
	}
	m.Server.Pages.Render(w, r, http.StatusOK, page)
}

// makeCodes makes codes in the place of those before, and shows them: now, and never again.
func (m *Method) makeCodes(w http.ResponseWriter, r *http.Request) {
	s := m.Server
	v, ok := m.fresh(w, r, recoveryPath)
	if !ok {
		return
	}
	f := store.Factor{ID: idp.NewFactorID(), Subject: v.Account.Subject, Kind: store.Recovery, ACR: enrolled(v), Created: s.Now()}
	page := web.RecoveryPage{Person: idp.Person(v), Done: "/account", Count: recoveryCount, Made: s.Now()}
	seen := map[string]bool{}
	var macs []string
	for len(macs) < recoveryCount { // ends: two alike are one in 10^11
		code, err := newCode(recoveryLength)
		if err != nil {
			s.Fault(w, r, "make recovery codes", err)
			return
		}
		if seen[code] {
			continue
		}
		seen[code] = true
		macs = append(macs, m.recoveryMAC(f, code))
		page.Codes = append(page.Codes, shown(code))
	}
	if _, err := s.FactorAdded(r, v, f, macs, 1); err != nil {
		s.Fault(w, r, "keep recovery codes", err)
		return
	}
	m.Server.Pages.Render(w, r, http.StatusOK, page)
}
