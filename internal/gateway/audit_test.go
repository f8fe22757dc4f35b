package gateway_test

import (
	"database/sql"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"promess/authgw/internal/testpki"
)

var lostEvents = regexp.MustCompile(`(?m)^authgw_audit_events_lost_total [1-9]`)

// B10: a gateway whose trail cannot be written lets nobody in, unless its configuration says so, and says so loudly.
func TestLoginsNeedTheTrail(t *testing.T) {
	for _, required := range []bool{true, false} {
		f := newFiles(t)
		f.config.Audit.Required = required
		r := f.run(t)
		p := r.person(t, f.card(t, testpki.Card{}))
		p.wantSignedIn(false) // it serves, and so has written down that it began
		db, err := sql.Open("sqlite", f.path("authgw.db")+"?_pragma=busy_timeout(5000)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), "ALTER TABLE audit_events RENAME TO away"); err != nil {
			t.Fatal(err)
		}
		status, body, _ := p.logIn()
		if required && (status != http.StatusServiceUnavailable || strings.Contains(body, "audit")) {
			t.Errorf("the login is answered with %d, want 503 and nothing of the inside: %s", status, body)
		}
		p.wantSignedIn(!required)
		if lost := strings.Contains(r.log.String(), "AUDIT EVENT LOST"); lost == required {
			t.Errorf("required %t: the loss is in the log: %t", required, lost)
		}
		if _, body := r.get(t, "/metrics"); !lostEvents.MatchString(body) {
			t.Errorf("required %t: the metrics do not tell of the loss", required)
		}
	}
}
