package idp

import (
	"context"
	"net/http"
	"time"

	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// loginPage is the choice of a way to sign in that meets a demand, as it is now.
func (s *Server) loginPage(r *http.Request, notice string, d Demand) web.LoginPage {
	page := web.LoginPage{
		Service: d.Title, Methods: s.offered(r, d), Browser: s.browser, Notice: notice, Images: s.images, Person: s.menu(r, s.Host),
	}
	for _, d := range s.dependents {
		if why := d.Unavailable(); why != "" {
			if page.Unavailable == nil {
				page.Unavailable = map[string]string{}
			}
			page.Unavailable[d.Name()] = why
		}
	}
	return page
}

// OtherWays shows a person whose login cannot go on at the moment the other ways in, why, by a word of the catalogue, and the support code
// under which it was recorded.
func (s *Server) OtherWays(w http.ResponseWriter, r *http.Request, notice, support string) {
	page := s.loginPage(r, notice, s.Wanted(r))
	page.Support = support
	s.Pages.Render(w, r, http.StatusServiceUnavailable, page)
}

// toldEnds are reasons for which somebody else than the person or time ended a session, and which the login page then says.
var toldEnds = [...]string{"psc_ended", "psc_other_person", "psc_logout"}

// noticeTimeout bounds how long the login page waits to find out what became of the session before.
const noticeTimeout = 2 * time.Second

// endNotice says why the session of a browser is over, by a word of the catalogue, when the person is to know.
func (s *Server) endNotice(r *http.Request) string {
	cookies := r.CookiesNamed(sessionCookie)
	if len(cookies) != 1 {
		return ""
	}
	hash, ok := token.Of(token.Session, cookies[0].Value)
	if !ok {
		return ""
	}
	ctx, done := context.WithTimeout(r.Context(), noticeTimeout)
	defer done()
	reason, err := s.Store.EndReason(ctx, s.Host, hash)
	if err != nil { // nothing depends on it
		return ""
	}
	for _, told := range toldEnds {
		if told == reason {
			return told
		}
	}
	return ""
}
