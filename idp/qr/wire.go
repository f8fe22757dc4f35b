package qr

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"promess/authgw/internal/vhost"
)

// maxAsk bounds what a phone sends: the answer of a passkey is the longest of it.
const maxAsk = 32 << 10

// ask reads the one JSON object of a request, and answers the request when it cannot.
func ask(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAsk))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return true
		}
		err = errors.Join(errors.New("more than one object"), err)
	}
	refuse(w, vhost.BodyError(err), "bad_request")
	return false
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	json.NewEncoder(w).Encode(v)
}

// refuse answers a phone with a word that its app has a text for.
func refuse(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
	}{word})
}

// fault answers a request that failed for a reason of ours.
func (m *Method) fault(w http.ResponseWriter, what string, err error) {
	m.Log.Error("request of a phone failed", "operation", what, "error", err)
	refuse(w, http.StatusServiceUnavailable, "unavailable")
}
