package agent

import (
	"mime"
	"net/http"
	"net/url"
	"slices"

	"promess/authgw/internal/web"
)

// loginPrefix is where the pages of a login are, followed by its id.
const loginPrefix = "/s/"

// maxForm bounds the body of a form, in bytes.
const maxForm = 1 << 10

// find returns the login of a page, for as long as it is in progress and a while after.
func (s *Server) find(r *http.Request) *login {
	s.mu.Lock()
	l := s.current
	s.mu.Unlock()
	if l == nil || r.PathValue("id") != l.id {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended.IsZero() && s.config.Now().Sub(l.ended) > outcomeKept {
		return nil
	}
	return l
}

// page draws a login as it is now. The page reloads itself until the person is asked something or the login is over.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	l := s.find(r)
	if l == nil {
		s.refuse(w, r, http.StatusNotFound, "not_found")
		return
	}
	target, page, over := l.view()
	if over {
		// A browser keeps pages in memory for its "back" button, the PIN's with what was typed among them. The page before this one
		// is of this login too, and by now kept: see view.
		w.Header().Set("Clear-Site-Data", `"cache"`)
	}
	if target != "" {
		http.Redirect(w, r, target, http.StatusSeeOther)
		return
	}
	s.config.Pages.Render(w, r, http.StatusOK, page)
}

// view returns where the browser goes now, or the page to draw, and whether that is the end of the login. The end never comes as the
// answer to a form: the browser keeps the form's page only when another one has been drawn.
func (l *login) view() (target string, page web.Page, over bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	drawn, form := l.drawn, l.form
	l.drawn, l.form = false, false
	switch {
	case l.failure != nil && !form:
		return "", *l.failure, true
	case l.target != "" && !drawn:
		return l.target, nil, true
	case l.question != nil && l.question.pin != nil:
		return "", *l.question.pin, false
	case l.question != nil:
		return "", *l.question.token, false
	}
	holder := l.holder
	if l.step == stepSigning || l.step == stepSending {
		holder = "" // the page is the last of the login: a browser shows it again to whoever goes back, after the sign-out too
	}
	return "", web.AgentStatusPage{
		Step:    l.step,
		Gateway: l.gateway.gateway.Title,
		Origin:  l.gateway.gateway.Origin,
		Holder:  holder,
		Cancel:  loginPrefix + l.id + "/cancel",
		Last:    l.last,
		Wrong:   l.wrong,
	}, false
}

// form hands a form of a login's page to take, and leads back to the page. A page is then drawn even when the login is over by then:
// see view; besides, a browser counts a redirect to the gateway, in answer to a form, against the form-action of the page's policy.
func (s *Server) form(take func(*login, url.Values)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l := s.find(r)
		if l == nil {
			s.refuse(w, r, http.StatusNotFound, "not_found")
			return
		}
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err != nil || kind != "application/x-www-form-urlencoded" || r.ParseForm() != nil {
			s.refuse(w, r, http.StatusBadRequest, "bad_request")
			return
		}
		l.mu.Lock()
		take(l, r.PostForm)
		l.drawn, l.form = true, true
		l.mu.Unlock()
		http.Redirect(w, r, loginPrefix+l.id, http.StatusSeeOther)
	}
}

// takePIN answers the question with a PIN, if it is one; l.mu is held.
func (l *login) takePIN(form url.Values) {
	q := l.question
	if q == nil || q.pin == nil {
		return // asked no more: a second click, or the login has ended
	}
	if pins := form["pin"]; len(pins) != 1 || !validPIN(pins[0], q.pin.Min, q.pin.Max) {
		page := *q.pin
		page.Shape, page.Wrong = true, false
		q.pin = &page
		return
	}
	l.question, l.step = nil, stepSigning
	q.answer <- form.Get("pin")
}

// takeToken answers the question with a choice of its page; l.mu is held.
func (l *login) takeToken(form url.Values) {
	q := l.question
	if q == nil || q.token == nil {
		return
	}
	chosen := form.Get("token")
	if slices.ContainsFunc(q.token.Tokens, func(t web.AgentToken) bool { return t.Value == chosen }) {
		l.question = nil
		q.answer <- chosen
	}
}

// takeCancel ends the login; l.mu is held.
func (l *login) takeCancel(url.Values) {
	if l.ended.IsZero() {
		l.cancel(ErrCancelled)
	}
}
