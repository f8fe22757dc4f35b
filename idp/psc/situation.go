package psc

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// maxSituations is how many are offered.
const maxSituations = 50

// situation is one in which a person works, as a session has it. What is not known is empty; codes are those of PSC's nomenclatures.
type situation struct {
	Profession    string `json:"profession,omitempty"`
	Category      string `json:"category,omitempty"`
	Speciality    string `json:"speciality,omitempty"`
	Mode          string `json:"mode,omitempty"`
	Sector        string `json:"sector,omitempty"`
	Role          string `json:"role,omitempty"`
	StructureID   string `json:"structure_id,omitempty"` // with the digit of its type in front, as cards have it
	TechnicalID   string `json:"technical_id,omitempty"`
	StructureName string `json:"structure_name,omitempty"`
	Place         string `json:"place,omitempty"`
}

// situations are those that userinfo says: one for each activity, or for an exercise without any.
func (i *info) situations() []situation {
	var all []situation
	for _, e := range i.Pro.Exercises {
		s := situation{Profession: codeOf(e.Profession), Category: codeOf(e.Category), Speciality: codeOf(e.Speciality)}
		if len(e.Activities) == 0 {
			all = append(all, s)
		}
		for _, a := range e.Activities {
			s := s
			s.Mode, s.Sector, s.Role = codeOf(a.Mode), codeOf(a.Sector), codeOf(a.Role)
			s.StructureID, s.TechnicalID = a.structure(), codeOf(a.Technical)
			s.StructureName = cmp.Or(clean(a.Name), clean(a.Sign))
			s.Place = cmp.Or(clean(a.Town), clean(a.PostalCode))
			all = append(all, s)
		}
	}
	return all[:min(len(all), maxSituations)]
}

// choose makes a situation that of the session.
func (f *found) choose(s situation) {
	data, err := json.Marshal(s)
	if err != nil {
		panic("psc: " + err.Error()) // texts
	}
	f.Proof.Situation = string(data)
	f.Proof.StructureID, f.Proof.StructureName = s.StructureID, s.StructureName
	f.Proof.Profession = cmp.Or(s.Profession, f.Proof.Profession)
}

// chooser returns the login of which the request's browser is to choose, or answers the request. The state in its path says which: two
// tabs may be of two persons.
func (m *Method) chooser(w http.ResponseWriter, r *http.Request) (store.Login, *found, bool) {
	handle, ok := token.Of(token.Handle, r.PathValue("state"))
	login, err := store.Login{}, error(store.ErrNotFound)
	if ok {
		login, err = m.Store.LoginByHandle(r.Context(), handle, Name, m.Now())
	}
	if err == nil && !m.ours(r, login) {
		err = store.ErrNotFound
	}
	var p progress
	if err == nil {
		p, err = m.openProgress(login)
	}
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && p.Step != choosing:
		m.refuse(w, r, "login_unknown", "login_over", "")
	case err != nil:
		m.Server.Fault(w, r, "find login", err)
	default:
		return login, p.Found, true
	}
	return store.Login{}, nil, false
}

// askSituation shows the choice.
func (m *Method) askSituation(w http.ResponseWriter, r *http.Request) {
	_, f, ok := m.chooser(w, r)
	if !ok {
		return
	}
	page := web.SituationPage{Action: r.URL.Path}
	for i, s := range f.Situations {
		page.Situations = append(page.Situations, web.Situation{
			Value: strconv.Itoa(i), Profession: s.Profession, Mode: s.Mode, Structure: s.StructureName, Place: s.Place,
		})
	}
	m.Server.Pages.Render(w, r, http.StatusOK, page)
}

// takeSituation takes the choice, which is one of those that were shown, and opens the session.
func (m *Method) takeSituation(w http.ResponseWriter, r *http.Request) {
	login, f, ok := m.chooser(w, r)
	if !ok {
		return
	}
	typed, ok := m.Server.Field(w, r, "situation")
	if !ok {
		return
	}
	i, err := strconv.Atoi(typed)
	if err != nil || i < 0 || i >= len(f.Situations) {
		http.Redirect(w, r, r.URL.Path, http.StatusSeeOther) // nothing was chosen (D8)
		return
	}
	f.choose(f.Situations[i])
	if m.mayOpen(w, r, f) { // somebody may have signed in meanwhile
		m.finish(w, r, login, f)
	}
}
