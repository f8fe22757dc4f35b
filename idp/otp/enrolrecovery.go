package otp

import (
	"net/http"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// offerCodes says what recovery codes are, and how many are left.
func (m *Method) offerCodes(w http.ResponseWriter, r *http.Request) {
	if v, ok := m.fresh(w, r, recoveryPath); ok {
		m.showOffer(w, r, v, http.StatusOK, "")
	}
}

func (m *Method) showOffer(w http.ResponseWriter, r *http.Request, v store.Session, status int, problem string) {
	page := web.RecoveryPage{Person: idp.Person(v), Action: recoveryPath, Done: "/account", Count: recoveryCount, Problem: problem}
	has, err := m.factorsOf(r, v, store.Recovery)
	for _, f := range has {
		var macs []string
		if err == nil {
			macs, err = m.Server.Store.RecoveryCodes(r.Context(), f.ID)
		}
		page.Has, page.Left, page.Instead = true, len(macs), f.ID
	}
	if err != nil {
		m.Server.Fault(w, r, "count recovery codes", err)
		return
	}
	m.Server.Pages.Render(w, r, status, page)
}

// makeCodes makes codes in the place of those that the form knows of, and shows them: now, and never again. A form that is sent again, with
// the answer to the first on its way to paper, makes none: the sheet that was shown stays good.
func (m *Method) makeCodes(w http.ResponseWriter, r *http.Request) {
	s := m.Server
	v, ok := m.fresh(w, r, recoveryPath)
	if !ok {
		return
	}
	instead, ok := s.Field(w, r, "instead")
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
	added, err := s.CodesAdded(r, v, f, macs, instead)
	switch {
	case err != nil:
		s.Fault(w, r, "keep recovery codes", err)
	case !added:
		m.showOffer(w, r, v, http.StatusConflict, "changed")
	default:
		s.Pages.Render(w, r, http.StatusOK, page)
	}
}
