package metrics

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/outbox"
)

// List is a revocation list in force.
type List struct {
	Issuer                 string // common name
	ThisUpdate, NextUpdate time.Time
}

// Certificate is the server certificate of a host.
type Certificate struct {
	Host     string
	NotAfter time.Time
}

// Source is what is asked when somebody reads the metrics.
type Source interface {
	// Lists returns the revocation lists in force.
	Lists() []List
	// Certificates returns the server certificates in use.
	Certificates() []Certificate
	// DatabaseUp says whether the database answers, within a bound.
	DatabaseUp() bool
	// AuditLosses returns the audit events since the start that did not arrive.
	AuditLosses() audit.Losses
	// AuditWaiting returns how many audit events wait, by queue.
	AuditWaiting() map[string]int
	// MailWaiting returns how many messages wait to be sent, within a bound; false when that is not known.
	MailWaiting() (int, bool)
	// LogoutsWaiting returns how many times a client is still to be told of a logout, within a bound; false when that is not known.
	LogoutsWaiting() (int, bool)
	// PSC says whether people can sign in with Pro Santé Connect now, and whether that is offered at all.
	PSC() (available, offered bool)
}

// Metrics are the metrics of one gateway.
type Metrics struct {
	registry   *prometheus.Registry
	logins     *prometheus.CounterVec
	authorized *prometheus.CounterVec
	opened     *prometheus.CounterVec
	ended      *prometheus.CounterVec
	requests   *prometheus.CounterVec
	latency    *prometheus.HistogramVec
	handshakes *prometheus.CounterVec
	reloads    *prometheus.CounterVec
	unsent     *prometheus.CounterVec
	psc        *prometheus.CounterVec
	told       *prometheus.CounterVec
	failed     prometheus.Gauge
	loaded     prometheus.Gauge

	methods, reasons, ends, services, causes words
}

// latencies are the upper bounds of the histogram, in seconds: what a mailbox takes, up to when the gateway gives it up.
var latencies = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// New returns metrics that begin at zero. version is that of the program.
func New(version string, source Source, now func() time.Time) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &Metrics{
		registry:   prometheus.NewRegistry(),
		logins:     counter("authgw_logins_total", "Logins that came to an end, by method, outcome and reason of a refusal.", "method", "outcome", "reason"),
		authorized: counter("authgw_authorizations_total", "Requests of OpenID Connect clients that were answered, by outcome and reason of a refusal.", "outcome", "reason"),
		opened:     counter("authgw_sessions_opened_total", "Sessions opened, by method.", "method"),
		ended:      counter("authgw_sessions_ended_total", "Sessions ended before their time by this gateway, by reason.", "reason"),
		requests:   counter("authgw_proxy_requests_total", "Requests to services, by service and class of the status; none: the client went before the answer.", "service", "status"),
		handshakes: counter("authgw_tls_handshake_failures_total", "TLS handshakes that failed; unknown_name: for a name that is no host of this gateway.", "reason"),
		reloads:    counter("authgw_config_reloads_total", "Attempts to take a changed configuration or certificate, by outcome.", "outcome"),
		unsent:     counter("authgw_mail_failures_total", "Messages that were not sent; delayed and unreadable ones are tried again, refused and expired ones given up.", "reason"),
		psc:        counter("authgw_psc_requests_total", "Requests to Pro Santé Connect, by endpoint and outcome: class of the status, error (no answer), not_sent (left alone), left (nobody waited).", "endpoint", "outcome"),
		told:       counter("authgw_logouts_told_total", "Clients of the OpenID provider that were told of a logout (back-channel), by outcome; refused and unreachable ones are told again, given_up ones not.", "outcome"),
		failed:     gauge("authgw_config_reload_failed", "1 while what is on disk was refused and what came before it is in force."),
		loaded:     gauge("authgw_config_loaded_timestamp_seconds", "When the configuration in force was loaded."),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "authgw_proxy_request_duration_seconds", Help: "From a request to a service to the head of its answer.", Buckets: latencies,
		}, []string{"service"}),
	}
	m.registry.MustRegister(m.logins, m.authorized, m.opened, m.ended, m.requests, m.latency, m.handshakes, m.reloads, m.unsent, m.psc, m.told, m.failed, m.loaded,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newState(version, source, now))
	for _, outcome := range []string{"success", "failed"} {
		m.reloads.WithLabelValues(outcome) // is there from the start, so that an alert on its growth sees the first
	}
	for _, reason := range []outbox.Failure{outbox.Delayed, outbox.Unreadable, outbox.Refused, outbox.Expired} {
		m.unsent.WithLabelValues(string(reason))
	}
	for _, outcome := range []string{"told", "refused", "unreachable", "given_up"} {
		m.told.WithLabelValues(outcome)
	}
	return m
}

// LogoutTold counts what became of telling a client of a logout once. The outcome is a word of the program.
func (m *Metrics) LogoutTold(outcome string) { m.told.WithLabelValues(outcome).Inc() }

// PSCRequest counts a request to Pro Santé Connect. Both are words of the program.
func (m *Metrics) PSCRequest(endpoint, outcome string) {
	m.psc.WithLabelValues(endpoint, outcome).Inc()
}

// Event counts an audit event.
func (m *Metrics) Event(e audit.Event) {
	switch e.Kind {
	case audit.LoginSucceeded:
		m.logins.WithLabelValues(m.methods.bounded(e.Method), "success", "none").Inc()
	case audit.LoginRefused:
		m.logins.WithLabelValues(m.methods.bounded(e.Method), "refused", m.reasons.bounded(e.Reason)).Inc()
	case audit.AuthorizationGranted:
		m.authorized.WithLabelValues("success", "none").Inc()
	case audit.AuthorizationRefused:
		m.authorized.WithLabelValues("refused", m.reasons.bounded(e.Reason)).Inc()
	case audit.SessionOpened:
		m.opened.WithLabelValues(m.methods.bounded(e.Method)).Inc()
	case audit.SessionEnded:
		m.ended.WithLabelValues(m.ends.bounded(e.Reason)).Inc()
	}
}

// Requests returns what counts the requests of a service: see proxy.Config.
func (m *Metrics) Requests(service string) func(status int, d time.Duration) {
	service = m.services.bounded(service)
	latency := m.latency.WithLabelValues(service)
	counters := map[string]prometheus.Counter{}
	for _, class := range []string{"1xx", "2xx", "3xx", "4xx", "5xx", "none"} {
		counters[class] = m.requests.WithLabelValues(service, class)
	}
	return func(status int, d time.Duration) {
		counters[class(status)].Inc()
		if status != 0 {
			latency.Observe(d.Seconds())
		}
	}
}

func class(status int) string {
	if status < 100 || status > 599 {
		return "none"
	}
	return string(rune('0'+status/100)) + "xx"
}

// HandshakeFailed counts a TLS handshake that failed, for a word.
func (m *Metrics) HandshakeFailed(reason string) {
	m.handshakes.WithLabelValues(m.causes.bounded(reason)).Inc()
}

// Loaded says that the configuration in force was read at a time.
func (m *Metrics) Loaded(at time.Time) {
	m.failed.Set(0)
	m.loaded.Set(float64(at.UnixMilli()) / 1000)
}

// Reloaded counts an attempt to take a changed configuration.
func (m *Metrics) Reloaded(ok bool, at time.Time) {
	if !ok {
		m.reloads.WithLabelValues("failed").Inc()
		m.failed.Set(1)
		return
	}
	m.reloads.WithLabelValues("success").Inc()
	m.Loaded(at)
}

// MailFailed counts a message that was not sent.
func (m *Metrics) MailFailed(f outbox.Failure) { m.unsent.WithLabelValues(string(f)).Inc() }

// Handler answers with all metrics, in the format of Prometheus.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	})
}
