package idp

import (
	"errors"
	"net/http"

	"promess/authgw/internal/web"
)

// portal lists the services of the person.
func (s *Server) portal(w http.ResponseWriter, r *http.Request) {
	v, err := s.Sessions.Find(r, s.Host)
	switch {
	case errors.Is(err, ErrNoSession):
		s.signIn(w, r)
		return
	case err != nil:
		s.Fault(w, r, "find session", err)
		return
	}
	page := web.PortalPage{Person: Person(v)}
	for _, c := range s.Services {
		if c.Rule.refuses(v) == "" {
			page.Services = append(page.Services, web.PortalService{
				Name: c.Name, Title: c.Title, Description: c.Description, URL: c.Origin + c.Home, Logo: c.logoURL(),
			})
		}
	}
	if s.asker != nil {
		listed, err := s.asker.Listed(r.Context(), v)
		if err != nil {
			s.Fault(w, r, "list services", err)
			return
		}
		page.Services = append(page.Services, listed...)
	}
	s.Pages.Render(w, r, http.StatusOK, page)
}
