package gateway_test

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/config"
	"promess/authgw/internal/gateway"
	mails "promess/authgw/internal/mail"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

// put leaves a notice as a command does: beside the gateway, with its database and keys, and without a mail server.
func (f *files) put(t *testing.T) {
	t.Helper()
	st := must(t, func() (*store.Store, error) {
		return gateway.OpenStore(t.Context(), f.config, slog.New(slog.DiscardHandler))
	})
	defer st.Close()
	a := store.Account{Subject: "u-paul", IDType: "RPPS", NationalID: "810001234599", GivenName: "PAUL", FamilyName: "DURAND"}
	if _, err := st.OpenAccount(t.Context(), a, time.Now()); err != nil {
		t.Fatal(err)
	}
	a.Address = "paul@example.fr"
	o := outbox.New(outbox.Config{Store: st, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	o.Use(nil, must(t, func() (*seal.Keys, error) { return config.LoadSealKeys(f.config.SealKeys) }), nil)
	if err := o.Put(t.Context(), a, mails.Notice{Kind: mails.Invitation, Language: "fr", At: time.Now(), Valid: 48 * time.Hour, Path: "/activate/abc"}); err != nil {
		t.Fatal(err)
	}
}

func TestGatewaySendsWhatWaits(t *testing.T) {
	f := newFiles(t)
	one := f.post(t)
	f.put(t) // before it starts
	r, hangup := f.serve(t)
	if m := one.Await(t, 1); m.To != "paul@example.fr" || m.User != "authgw" || !slices.Contains(strings.Fields(m.Text), auth+"/activate/abc") {
		t.Errorf("message to %q by user %q, want the invitation with a link to %s:\n%s", m.To, m.User, auth, m.Text)
	}

	// Lesson C6: the next goes by the configuration that was read again.
	two := f.mailServer(t, password)
	f.config.Mail.Port = two.Port
	f.save(t)
	hangup <- os.Interrupt
	eventually(t, "reloaded", func() bool { return r.reloads() > 0 })
	f.put(t)
	two.Await(t, 1)
	eventually(t, "nothing waits", func() bool {
		_, body := r.get(t, "/metrics")
		return strings.Contains(body, "\nauthgw_mail_waiting 0\n")
	})

	two.Refuse("paul@example.fr")
	f.put(t)
	eventually(t, "the refusal is counted", func() bool {
		_, body := r.get(t, "/metrics")
		return strings.Contains(body, "\nauthgw_mail_failures_total{reason=\"refused\"} 1\n")
	})
	if text := r.log.String(); strings.Contains(text, "paul@") || !strings.Contains(text, "u-paul") {
		t.Errorf("the log does not say for whom a message was given up, or shows the address")
	}
}
