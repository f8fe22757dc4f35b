package gateway

import (
	"context"

	"promess/authgw/idp"
	"promess/authgw/internal/outbox"
)

// newOutbox makes what keeps messages until they are sent. It outlives each configuration.
func (g *Gateway) newOutbox() *outbox.Outbox {
	return outbox.New(outbox.Config{Store: g.store, Log: g.log, Now: g.now, Failed: g.metrics.MailFailed})
}

// useMail puts how messages are sent into force; r is nil when none can be.
func (g *Gateway) useMail(r *idp.Registration) {
	if r == nil {
		g.outbox.Use(nil, nil, nil)
		return
	}
	g.outbox.Use(r.Mail, r.Keys, r.Protected)
}

// MailWaiting implements metrics.Source.
func (o observed) MailWaiting() (int, bool) {
	ctx, done := context.WithTimeout(context.Background(), databasePatience)
	defer done()
	n, err := o.outbox.Length(ctx)
	return n, err == nil
}
