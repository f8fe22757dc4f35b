package otp

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// progress is what a login row keeps: its existence says that the password was right.
type progress struct {
	Subject  string `json:"subject"`
	Password string `json:"password"` // id of the one that was right
	ACR      string `json:"acr"`      // of it, at most
	Tries    int    `json:"tries"`    // wrong codes that are left
	Until    int64  `json:"until"`    // Unix time that it ends at, though a code is sent again
}

// running is a login between its factors.
type running struct {
	login   store.Login
	at      progress
	account store.Account // as it is now
	factors []store.Factor
	ways    []string
}

// begun is a login that is to be written, and the token of the browser that alone it belongs to.
type begun struct {
	handle  token.Hash
	login   store.Login
	browser string
}

func (m *Method) begun(p progress) (begun, error) {
	p.Until = m.Server.Now().Add(loginMost).Unix()
	data, err := json.Marshal(p)
	if err != nil {
		return begun{}, err
	}
	n := begun{browser: token.New()}
	n.handle, _ = token.Of(token.Handle, token.New()) // nobody is given the handle
	n.login = store.Login{Method: Name, Expires: m.Server.Now().Add(loginLife), Progress: data}
	n.login.Browser, _ = token.Of(token.Browser, n.browser)
	return n, nil
}

// give gives a login that was written to the request's browser.
func (m *Method) give(w http.ResponseWriter, r *http.Request, n begun) error {
	state := m.Server.BrowserState(r)
	state.Browser = n.browser
	return m.Server.SaveBrowserState(w, r, state)
}

var errProgress = errors.New("the login has no progress that can be read")

// current returns the login of the request's browser, or leads to the password and returns false: there is none, it is over, or it is
// another method's.
func (m *Method) current(w http.ResponseWriter, r *http.Request) (running, bool) {
	c, err := m.find(r)
	switch {
	case errors.Is(err, store.ErrNotFound):
		http.Redirect(w, r, base+"?problem=over", http.StatusSeeOther)
		return running{}, false
	case err != nil:
		m.Server.Fault(w, r, "find login", err)
		return running{}, false
	}
	return c, true
}

func (m *Method) find(r *http.Request) (c running, err error) {
	s, ctx := m.Server, r.Context()
	browser, ok := token.Of(token.Browser, s.BrowserState(r).Browser)
	if !ok {
		return c, store.ErrNotFound
	}
	if c.login, err = s.Store.LoginOfBrowser(ctx, browser, Name, s.Now()); err != nil {
		return c, err
	}
	if err := json.Unmarshal(c.login.Progress, &c.at); err != nil || c.at.Subject == "" {
		return c, errProgress // not err, which may repeat it
	}
	if c.account, err = s.Store.AccountBySubject(ctx, c.at.Subject); err != nil {
		return c, err
	}
	if c.account.Disabled { // since the password (D14)
		return c, store.ErrNotFound
	}
	if c.factors, err = s.Store.Factors(ctx, c.at.Subject); err != nil {
		return c, err
	}
	if !slices.ContainsFunc(c.factors, func(f store.Factor) bool { return f.ID == c.at.Password && f.Kind == store.Password }) {
		return c, store.ErrNotFound // changed or removed since: what was right is no longer
	}
	if c.ways, err = m.ways(ctx, c.account, c.factors); err == nil && len(c.ways) == 0 {
		err = store.ErrNotFound // removed since: the password leads to what to do
	}
	return c, err
}

// taken is a login with one of its tries used up, which is to be before anything is compared.
func (c running) taken() (running, error) {
	c.at.Tries--
	data, err := json.Marshal(c.at)
	c.login.Progress = data
	return c, err
}
