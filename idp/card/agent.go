package card

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/vhost"
)

// fetch tells an agent whether a login waits for it, so that nobody is asked for a PIN for nothing.
func (m *Method) fetch(w http.ResponseWriter, r *http.Request) {
	var q cardwire.Fetch
	if !ask(w, r, &q) {
		return
	}
	handle, ok := token.Of(token.Handle, q.Handle)
	if !ok {
		answerError(w, http.StatusNotFound, "login_unknown")
		return
	}
	expires, err := m.Store.FetchLogin(r.Context(), handle, Name, m.Now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		answerError(w, http.StatusNotFound, "login_unknown")
	case err != nil:
		m.unavailable(w, "fetch login", err)
	default:
		answer(w, cardwire.Fetched{ExpiresIn: int(expires.Sub(m.Now()) / time.Second)})
	}
}

// prove judges the certificate of this TLS connection for a login.
func (m *Method) prove(w http.ResponseWriter, r *http.Request) {
	var q cardwire.Prove
	if !ask(w, r, &q) {
		return
	}
	handle, ok := token.Of(token.Handle, q.Handle)
	if !ok {
		answerError(w, http.StatusNotFound, "login_unknown")
		return
	}
	code, watch, err := m.settle(r.Context(), handle, m.judge(r), true)
	switch {
	case errors.Is(err, store.ErrNotFound):
		answerError(w, http.StatusNotFound, "login_unknown")
	case err != nil:
		m.unavailable(w, "settle login", err)
	default:
		answer(w, cardwire.Proved{Code: code, Watch: watch})
	}
}

// unavailable answers an agent whose request failed for a reason of ours.
func (m *Method) unavailable(w http.ResponseWriter, what string, err error) {
	m.Log.Error("card login failed", "operation", what, "error", err)
	answerError(w, http.StatusServiceUnavailable, "unavailable")
}

// ask reads the one JSON object of a request, and answers the request when it cannot.
func ask(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, cardwire.MaxBody))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return true
		}
		err = errors.Join(errors.New("more than one object"), err)
	}
	status, word := vhost.BodyError(err), "bad_request"
	switch status {
	case http.StatusRequestEntityTooLarge:
		word = "too_large"
	case http.StatusRequestTimeout:
		word = "timeout"
	}
	answerError(w, status, word)
	return false
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(v)
}

func answerError(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(cardwire.Error{Error: word})
}
