package metrics_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/metrics"
	"promess/authgw/internal/outbox"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type source struct{ up bool }

func (source) Lists() []metrics.List {
	l := metrics.List{Issuer: "AC OF CARDS", ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(2 * time.Hour)}
	return []metrics.List{l, l} // two authorities may have one name
}
func (source) Certificates() []metrics.Certificate {
	return []metrics.Certificate{{"auth.example.test", now.Add(-time.Minute)}, {"auth.example.test", now}}
}
func (s source) DatabaseUp() bool           { return s.up }
func (source) AuditLosses() audit.Losses    { return audit.Losses{Trail: 2, Copies: 3} }
func (source) AuditWaiting() map[string]int { return map[string]int{"trail": 1, "syslog": 7} }
func (source) MailWaiting() (int, bool)     { return 7, true }
func (source) LogoutsWaiting() (int, bool)  { return 3, true }
func (source) PSC() (bool, bool)            { return true, true }

func newMetrics(up bool) *metrics.Metrics {
	return metrics.New("v1.2.3", source{up}, func() time.Time { return now })
}

// read returns the lines that somebody reads.
func read(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler(slog.New(slog.NewTextHandler(io.Discard, nil))).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("metrics = %d %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
}

func TestWhatIsCounted(t *testing.T) {
	m := newMetrics(true)
	for _, e := range []audit.Event{
		{Kind: audit.LoginSucceeded, Method: "card"}, {Kind: audit.LoginSucceeded, Method: "card"},
		{Kind: audit.LoginRefused, Method: "card", Reason: "revoked"}, {Kind: audit.SessionOpened, Method: "card"},
		{Kind: audit.SessionEnded, Method: "card", Reason: "logout"}, {Kind: audit.CRLLoaded},
	} {
		m.Event(e)
	}
	mail := m.Requests("mail")
	mail(204, 30*time.Millisecond)
	mail(502, 3*time.Second)
	mail(101, time.Millisecond)
	mail(0, time.Hour)
	m.HandshakeFailed("unknown_name")
	m.MailFailed(outbox.Refused)
	m.LogoutTold("given_up")
	m.PSCRequest("token", "5xx")
	m.Loaded(now)
	m.Reloaded(false, now)
	text := read(t, m)
	want(t, text,
		`authgw_logins_total{method="card",outcome="success",reason="none"} 2`,
		`authgw_logins_total{method="card",outcome="refused",reason="revoked"} 1`,
		`authgw_logouts_told_total{outcome="given_up"} 1`, `authgw_logouts_told_total{outcome="told"} 0`, `authgw_logouts_waiting 3`,
		`authgw_sessions_opened_total{method="card"} 1`, `authgw_sessions_ended_total{reason="logout"} 1`,
		`authgw_proxy_requests_total{service="mail",status="1xx"} 1`, `authgw_proxy_requests_total{service="mail",status="2xx"} 1`,
		`authgw_proxy_requests_total{service="mail",status="5xx"} 1`, `authgw_proxy_requests_total{service="mail",status="none"} 1`,
		`authgw_proxy_request_duration_seconds_count{service="mail"} 3`, `authgw_proxy_request_duration_seconds_bucket{service="mail",le="0.05"} 2`,
		`authgw_tls_handshake_failures_total{reason="unknown_name"} 1`, `authgw_config_reload_failed 1`,
		`authgw_config_reloads_total{outcome="failed"} 1`, `authgw_config_reloads_total{outcome="success"} 0`,
		`authgw_database_up 1`, `authgw_crl_age_seconds{issuer="AC OF CARDS"} 3600`, `authgw_crl_next_update_seconds{issuer="AC OF CARDS"} 7200`,
		`authgw_certificate_expires_seconds{host="auth.example.test"} -60`,
		`authgw_psc_available 1`, `authgw_psc_requests_total{endpoint="token",outcome="5xx"} 1`,
		`authgw_mail_waiting 7`, `authgw_mail_failures_total{reason="refused"} 1`, `authgw_mail_failures_total{reason="expired"} 0`,
		`authgw_audit_events_lost_total 2`, `authgw_audit_copies_lost_total 3`,
		`authgw_audit_queue_length{queue="trail"} 1`, `authgw_audit_queue_length{queue="syslog"} 7`,
		`# TYPE authgw_audit_events_lost_total counter`, `# TYPE authgw_audit_copies_lost_total counter`,
	)
	for _, name := range []string{`authgw_build_info{goversion="go`, "go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(text, name) {
			t.Errorf("no %s", name)
		}
	}
	m.Reloaded(true, now)
	want(t, read(t, m), "authgw_config_reload_failed 0", `authgw_config_reloads_total{outcome="success"} 1`)
}

func TestTheDatabaseIsDown(t *testing.T) { want(t, read(t, newMetrics(false)), "authgw_database_up 0") }

// Whatever an event says, no label has more values than are good for whoever keeps the series, and none is a person's.
func TestLabelsAreBounded(t *testing.T) {
	m := newMetrics(true)
	for i := range 500 {
		m.Event(audit.Event{Kind: audit.LoginRefused, Method: "card", Reason: fmt.Sprintf("reason_%d", i)})
	}
	for _, name := range []string{"Jeanne MARTIN", "899700218896 ", "a@b.fr", strings.Repeat("a", 41), "é", "a\nb"} {
		m.Event(audit.Event{Kind: audit.LoginSucceeded, Method: name, Subject: "subject-of-somebody", Source: "192.0.2.7"})
	}
	text := read(t, m)
	if n := strings.Count(text, `outcome="refused",reason=`); n != 65 {
		t.Errorf("reasons = %d, want 64 and other", n)
	}
	want(t, text, `authgw_logins_total{method="other",outcome="success",reason="none"} 6`,
		`authgw_logins_total{method="card",outcome="refused",reason="other"} 436`)
	for _, secret := range []string{"MARTIN", "899700218896", "a@b.fr", "subject-of-somebody", "192.0.2.7"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the metrics", secret)
		}
	}
}

// Two gateways in one process (the tests have them) share nothing.
func TestNothingIsGlobal(t *testing.T) {
	one, two := newMetrics(true), newMetrics(true)
	one.Event(audit.Event{Kind: audit.SessionOpened, Method: "card"})
	if text := read(t, two); strings.Contains(text, "authgw_sessions_opened_total{") {
		t.Error("what one counts the other shows")
	}
}
