package gateway

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/metrics"
)

// eventWriter hands the audit's copy of each event, one JSON line a write, to see as well. So who records events knows of no metrics.
type eventWriter struct {
	to  io.Writer // may be nil
	see func(audit.Event)
}

func (w *eventWriter) Write(line []byte) (int, error) {
	var e audit.Event
	if json.Unmarshal(line, &e) == nil { // else there is nothing to count
		w.see(e)
	}
	if w.to == nil {
		return len(line), nil
	}
	return w.to.Write(line)
}

// observed is the gateway as its metrics see it.
type observed struct{ *Gateway }

var _ metrics.Source = observed{}

// Lists implements metrics.Source.
func (o observed) Lists() []metrics.List {
	var all []metrics.List
	for _, l := range o.judge.current.Load().config.CRLs.Lists() {
		all = append(all, metrics.List{Issuer: l.Issuer, ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate})
	}
	return all
}

// Certificates implements metrics.Source.
func (o observed) Certificates() []metrics.Certificate { return o.parts.Load().certificates }

// DatabaseUp implements metrics.Source.
func (o observed) DatabaseUp() bool {
	ctx, done := context.WithTimeout(context.Background(), databasePatience)
	defer done()
	return o.store.Ping(ctx) == nil
}

// AuditLosses implements metrics.Source.
func (o observed) AuditLosses() audit.Losses { return o.audit.Losses() }

// AuditWaiting implements metrics.Source.
func (o observed) AuditWaiting() map[string]int { return o.audit.Waiting() }

// databasePatience is how long the database has to answer who asks whether it does.
const databasePatience = 2 * time.Second

// PSC implements metrics.Source.
func (o observed) PSC() (available, offered bool) {
	m := o.parts.Load().psc
	return m != nil && m.Unavailable() == "", m != nil
}
