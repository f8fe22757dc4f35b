package gateway_test

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/client"
	"promess/authgw/internal/config"
	"promess/authgw/internal/store"
)

// agenda are the settings of a client.
func agenda() client.Settings {
	return client.Settings{
		ID: "agenda", Title: "Agenda", RedirectURIs: []string{"https://agenda.example.test/callback"}, Subject: "public", Signing: "ES256", Auth: "client_secret",
	}
}

// E3: what an administrator does to a client holds for a gateway that runs.
func TestE3ClientsOfTheDatabaseChangeWhileItRuns(t *testing.T) {
	f := newFiles(t)
	r := f.run(t)
	find := func() (*client.Client, error) { return r.Client(t.Context(), "agenda") }
	if _, err := find(); !errors.Is(err, client.ErrUnknown) {
		t.Fatalf("before it is added: %v, want ErrUnknown", err)
	}
	// Another process.
	st := must(t, func() (*store.Store, error) {
		return store.Open(t.Context(), store.Config{Name: f.config.Database, Log: slog.New(slog.DiscardHandler)})
	})
	defer st.Close()
	secret, hash := client.NewSecret()
	added := client.Record{ID: "agenda", Settings: agenda().String(), Secret: hash}
	if err := st.AddClient(t.Context(), added, time.Now()); err != nil {
		t.Fatal(err)
	}
	if c, err := find(); err != nil || !c.ProvedBy(secret) {
		t.Fatalf("after it was added: %v, %v", c, err)
	}
	before := must(t, func() (client.Record, error) { return st.Client(t.Context(), "agenda") })
	after, s := before, agenda()
	s.Title = "Another"
	after.Settings = s.String()
	if err := st.ChangeClient(t.Context(), before, after, time.Now()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "changed", func() bool {
		c, err := find()
		return err == nil && c.Title == "Another"
	})
	if _, err := st.RemoveClient(t.Context(), "agenda", time.Now()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "removed", func() bool {
		_, err := find()
		return errors.Is(err, client.ErrUnknown)
	})
}

// C6: clients of the file, and their secrets, are taken as they are there now.
func TestC6ClientsOfTheConfigurationComeIntoForce(t *testing.T) {
	f := newFiles(t)
	f.write(t, "seal.keys", sealKey("k1"))
	f.config.SealKeys = f.path("seal.keys")
	one, _ := client.NewSecret()
	f.write(t, "agenda.secret", []byte(one+"\n"))
	f.config.Clients = []config.Client{{Settings: agenda(), SecretFile: f.path("agenda.secret")}}
	r, hangup := f.serve(t)
	proved := func(secret string) bool {
		c, err := r.Client(t.Context(), "agenda")
		return err == nil && c.ProvedBy(secret)
	}
	if !proved(one) {
		t.Fatal("the client of the file is not known")
	}
	two, _ := client.NewSecret()
	f.replace(t, "agenda.secret", []byte(two+"\n")) // nobody tells
	eventually(t, "the new secret is good", func() bool { return proved(two) })
	if proved(one) {
		t.Error("the secret that was replaced is good")
	}

	// What is wrong changes nothing.
	f.config.Clients[0].RedirectURIs = []string{"http://agenda.example.test/*"}
	f.save(t)
	hangup <- os.Interrupt
	eventually(t, "refused", func() bool { return r.refusals() > 0 })
	if !proved(two) {
		t.Error("the client is gone with a configuration that was refused")
	}
	f.config.Clients = nil
	f.save(t)
	hangup <- os.Interrupt
	eventually(t, "gone", func() bool {
		_, err := r.Client(t.Context(), "agenda")
		return errors.Is(err, client.ErrUnknown)
	})
	if log := r.log.String(); strings.Contains(log, one) || strings.Contains(log, two) {
		t.Error("a secret is in the log (G2)")
	}
}
