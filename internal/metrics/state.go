package metrics

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// state is what is looked up when somebody reads the metrics.
type state struct {
	version string
	source  Source
	now     func() time.Time

	build, database, age, left, certificate, unkept, uncopied, waiting, unsent, untold, psc *prometheus.Desc
}

var _ prometheus.Collector = (*state)(nil)

func newState(version string, source Source, now func() time.Time) *state {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &state{
		version: version, source: source, now: now,
		build:       desc("authgw_build_info", "The program, always 1.", "version", "goversion"),
		database:    desc("authgw_database_up", "1 when the database answers."),
		age:         desc("authgw_crl_age_seconds", "Time since the revocation list of an authority was issued.", "issuer"),
		left:        desc("authgw_crl_next_update_seconds", "Time until the revocation list of an authority is out of date and its cards are refused; negative after.", "issuer"),
		certificate: desc("authgw_certificate_expires_seconds", "Time until the server certificate of a host expires; negative after.", "host"),
		unkept:      desc("authgw_audit_events_lost_total", "Audit events that could not be kept in the database: who caused them was refused, unless losses are allowed."),
		uncopied:    desc("authgw_audit_copies_lost_total", "Audit events that were kept but not written to standard output, or not sent to syslog."),
		waiting:     desc("authgw_audit_queue_length", "Audit events that wait: trail, for the database; stdout and syslog, to be copied there.", "queue"),
		unsent:      desc("authgw_mail_waiting", "Messages that wait to be sent."),
		untold:      desc("authgw_logouts_waiting", "Clients of the OpenID provider that are still to be told of a logout, once for each session."),
		psc:         desc("authgw_psc_available", "1 while people can sign in with Pro Santé Connect, for all that is known; absent where it is not offered."),
	}
}

// Describe implements prometheus.Collector.
func (s *state) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.build, s.database, s.age, s.left, s.certificate, s.unkept, s.uncopied, s.waiting, s.unsent, s.untold, s.psc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s *state) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(s.build, 1, s.version, runtime.Version())
	up := 0.0
	if s.source.DatabaseUp() {
		up = 1
		if n, ok := s.source.MailWaiting(); ok {
			gauge(s.unsent, float64(n))
		}
		if n, ok := s.source.LogoutsWaiting(); ok {
			gauge(s.untold, float64(n))
		}
	}
	gauge(s.database, up)
	if available, offered := s.source.PSC(); offered {
		up := 0.0
		if available {
			up = 1
		}
		gauge(s.psc, up)
	}
	lost := s.source.AuditLosses()
	out <- prometheus.MustNewConstMetric(s.unkept, prometheus.CounterValue, float64(lost.Trail))
	out <- prometheus.MustNewConstMetric(s.uncopied, prometheus.CounterValue, float64(lost.Copies))
	for queue, n := range s.source.AuditWaiting() {
		gauge(s.waiting, float64(n), queue)
	}
	now := s.now()
	issuers := map[string]bool{} // a metric that is there twice would make all of them an error
	for _, l := range s.source.Lists() {
		if issuers[l.Issuer] {
			continue
		}
		issuers[l.Issuer] = true
		gauge(s.age, now.Sub(l.ThisUpdate).Seconds(), l.Issuer)
		gauge(s.left, l.NextUpdate.Sub(now).Seconds(), l.Issuer)
	}
	hosts := map[string]bool{}
	for _, c := range s.source.Certificates() {
		if hosts[c.Host] {
			continue
		}
		hosts[c.Host] = true
		gauge(s.certificate, c.NotAfter.Sub(now).Seconds(), c.Host)
	}
}
