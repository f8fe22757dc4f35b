package card_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/token"
)

// FuzzAgentBodies posts anything to the agent's endpoints. Properties: the answer is JSON of one of the known statuses, and what is
// answered otherwise than 400 or 413 was, to the last byte, one JSON value with no field that the endpoint does not know.
func FuzzAgentBodies(f *testing.F) {
	for _, s := range []string{
		`{"handle":"x"}`, `{"handle":"` + token.New() + `","version":"1"}`, `{"token":"` + token.New() + `","card":"present"}`,
		`{"token":"x","card":"removed"}`, `{}`, `null`, `[]`, `{}{}`, `{"handle":"x"} `, "\xef\xbb\xbf{}", `{"handle":"\ud800"}`, `{"HANDLE":"x"}`,
		strings.Repeat("[", 5000), `{"handle":"` + strings.Repeat("a", 9000) + `"}`, "", `{"a":1e999}`,
	} {
		f.Add(s)
	}
	w := newWorld(f)
	handler := w.idp.Handler(w.method)
	paths := []string{cardwire.FetchPath, cardwire.WatchPath}
	known := map[string][]string{cardwire.FetchPath: {"handle", "version"}, cardwire.WatchPath: {"token", "card"}}
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range paths {
			r := httptest.NewRequest(http.MethodPost, auth+path, strings.NewReader(body))
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, r)
			switch answer.Code {
			case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
				continue
			case http.StatusOK, http.StatusNotFound:
			default:
				t.Fatalf("%s = %d for %q", path, answer.Code, body)
			}
			if !json.Valid(answer.Body.Bytes()) {
				t.Fatalf("%s answers %q, which is not JSON", path, answer.Body)
			}
			if len(body) > cardwire.MaxBody || !json.Valid([]byte(body)) {
				t.Fatalf("%s understands %q", path, body)
			}
			var fields map[string]any
			if err := json.NewDecoder(bytes.NewReader([]byte(body))).Decode(&fields); err != nil {
				t.Fatalf("%s understands %q: %v", path, body, err)
			}
			for name := range fields {
				if !containsFold(known[path], name) {
					t.Fatalf("%s takes the field %q", path, name)
				}
			}
		}
	})
}

func containsFold(list []string, s string) bool {
	for _, v := range list {
		if strings.EqualFold(v, s) { // as encoding/json does
			return true
		}
	}
	return false
}
