package idp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/proxy"
)

// Whatever keeps a request from a service, a person gets a page that says so in words and a program gets JSON, with the same status.
func TestRefusalsOfTheProxyAreExplained(t *testing.T) {
	w := newWorld(t)
	gate := w.idp.Gate(w.idp.Services[0])
	for _, test := range []struct {
		why    proxy.Refusal
		status int
		code   string
		text   string // of the French page
	}{
		{proxy.Unavailable, http.StatusServiceUnavailable, "unavailable", textUnavailable},
		{proxy.Forbidden, http.StatusForbidden, "forbidden", textForbidden},
		{proxy.NotAllowed, http.StatusMethodNotAllowed, "bad_request", "Demande non comprise"},
		{proxy.Stalled, http.StatusRequestTimeout, "timeout", "Délai dépassé"},
		{proxy.BackendDown, http.StatusBadGateway, "backend_down", "Ce service ne répond pas"},
		{proxy.BackendSlow, http.StatusGatewayTimeout, "backend_slow", "Ce service met trop de temps à répondre"},
		{proxy.Refusal(99), http.StatusServiceUnavailable, "unavailable", textUnavailable}, // one that comes later
	} {
		for _, reader := range []struct{ accept, want string }{
			{"text/html", test.text},
			{"application/json", `{"error":"` + test.code + `","login":"` + mail + `/inbox"}`},
		} {
			r := httptest.NewRequest(http.MethodPost, mail+"/x", strings.NewReader("body"))
			r.Header.Set("Accept", reader.accept)
			answer := httptest.NewRecorder()
			gate.Refuse(answer, r, test.why)
			if answer.Code != test.status || !strings.Contains(answer.Body.String(), reader.want) {
				t.Errorf("refusal %d for %s = %d %.200q, want %d with %q", test.why, reader.accept, answer.Code, answer.Body, test.status, reader.want)
			}
			if got := answer.Header().Get("Connection"); got != "close" {
				t.Errorf("refusal %d: Connection = %q, want close: the body is not read", test.why, got)
			}
			// RFC 9110, section 15.5.6: a 405 says what is allowed.
			if allowed := answer.Header().Get("Allow"); (allowed != "") != (test.status == http.StatusMethodNotAllowed) {
				t.Errorf("refusal %d: Allow = %q", test.why, allowed)
			}
		}
	}
	// The auth host says in words what is not there.
	w.browser(t).get(auth+"/nothing-here").wantError(t, http.StatusNotFound, textNotFound)
}

// G10: a flood from everywhere does not fill the trail: that the gateway is busy has to do with no network.
func TestG10BusyGatewayIsRecordedOnceForAllNetworks(t *testing.T) {
	w := newWorld(t)
	before := len(w.events(t, audit.LoginRefused))
	for i := range 500 {
		r := httptest.NewRequest(http.MethodPost, auth+"/login/otp/password", nil)
		r.RemoteAddr = fmt.Sprintf("192.0.%d.%d:1000", i/250, i%250)
		w.idp.RecordRefusal(r, "otp", idp.Refusal{Reason: "busy"})
	}
	if n := len(w.events(t, audit.LoginRefused)) - before; n != 100 { // the clock stands still
		t.Errorf("%d of 500 refusals are in the trail, want 100", n)
	}
}
