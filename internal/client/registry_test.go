package client_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"promess/authgw/internal/client"
	"promess/authgw/internal/token"
)

// records are clients of a database that counts how often it is asked.
type records struct {
	all   map[string]client.Record
	err   error
	asked atomic.Int64
	wait  chan struct{} // an answer comes when it is closed; nil: at once
	began chan struct{}
}

func (r *records) Clients(context.Context) ([]client.Record, error) {
	all := slices.Collect(maps.Values(r.all))
	slices.SortFunc(all, func(a, b client.Record) int { return strings.Compare(a.ID, b.ID) })
	return all, r.err
}

func (r *records) Client(_ context.Context, id string) (client.Record, error) {
	r.asked.Add(1)
	v, ok := r.all[id]
	if r.wait != nil {
		r.began <- struct{}{}
		<-r.wait
	}
	switch {
	case r.err != nil:
		return client.Record{}, r.err
	case !ok:
		return client.Record{}, client.ErrUnknown
	}
	return v, nil
}

// kept is a database with the client agenda, and its secret.
func kept(t *testing.T) (*records, string) {
	t.Helper()
	secret, hash := client.NewSecret()
	return &records{all: map[string]client.Record{"agenda": {ID: "agenda", Settings: settings().String(), Secret: hash}}}, secret
}

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, time.November, 27, 12, 0, 0, 0, time.UTC)} }

func TestRegistryRemembersAClientUntilItChanges(t *testing.T) {
	db, secret := kept(t)
	r := client.NewRegistry(db, newClock().now)
	for range 3 {
		if c, err := r.Client(t.Context(), "agenda"); err != nil || c.Title != "Agenda partagé" || !c.ProvedBy(secret) {
			t.Fatalf("Client = %v, %v", c, err)
		}
	}
	if got := db.asked.Load(); got != 1 {
		t.Errorf("the database was asked %d times, want once", got)
	}
	delete(db.all, "agenda")
	r.Forget("agenda")
	if c, err := r.Client(t.Context(), "agenda"); !errors.Is(err, client.ErrUnknown) || c != nil {
		t.Errorf("after its removal Client = %v, %v, want ErrUnknown", c, err)
	}
}

// Those of the configuration come first where both have one; one that does not hold together is left out.
func TestRegistryListsAll(t *testing.T) {
	db, _ := kept(t)
	db.all["broken"] = client.Record{ID: "broken", Settings: "{}"}
	db.all["zoom"] = client.Record{ID: "zoom", Settings: strings.ReplaceAll(settings().String(), `"agenda"`, `"zoom"`), Secret: db.all["agenda"].Secret}
	r := client.NewRegistry(db, newClock().now)
	s := settings()
	s.Title = "Agenda du fichier"
	configured, err := s.Client(client.Own{})
	if err != nil {
		t.Fatal(err)
	}
	r.Use([]*client.Client{configured}, client.Own{})
	all, err := r.All(t.Context())
	if err != nil || len(all) != 2 || all[0] != configured || all[1].ID != "zoom" {
		t.Errorf("All = %v, %v", all, err)
	}
	db.err = errors.New("no connection")
	if all, err := r.All(t.Context()); err == nil || all != nil {
		t.Errorf("without the database: %v, %v", all, err)
	}
}

func TestRegistryBelievesNoClientForMoreThanAMinute(t *testing.T) {
	db, _ := kept(t)
	clock := newClock()
	r := client.NewRegistry(db, clock.now)
	if _, err := r.Client(t.Context(), "agenda"); err != nil {
		t.Fatal(err)
	}
	db.err = errors.New("no connection")
	clock.at = clock.at.Add(59 * time.Second)
	if _, err := r.Client(t.Context(), "agenda"); err != nil {
		t.Errorf("within a minute: %v", err)
	}
	clock.at = clock.at.Add(time.Second)
	if c, err := r.Client(t.Context(), "agenda"); err == nil || errors.Is(err, client.ErrUnknown) || c != nil {
		t.Errorf("after a minute without the database: %v, %v, want an error that is not ErrUnknown", c, err)
	}
}

// What is read while the change comes in is of before, and not remembered.
func TestRegistryForgetsWhatIsBeingRead(t *testing.T) {
	db, _ := kept(t)
	db.wait, db.began = make(chan struct{}), make(chan struct{}, 1)
	r := client.NewRegistry(db, newClock().now)
	done := make(chan error)
	go func() {
		_, err := r.Client(t.Context(), "agenda")
		done <- err
	}()
	<-db.began
	r.Forget("agenda")
	close(db.wait)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := r.Client(t.Context(), "agenda"); err != nil || db.asked.Load() != 2 {
		t.Errorf("asked %d times (%v), want 2: the first answer may be of before the change", db.asked.Load(), err)
	}
}

func TestRegistryPrefersTheConfiguration(t *testing.T) {
	db, _ := kept(t)
	r := client.NewRegistry(db, newClock().now)
	s := settings()
	s.Title, s.Auth = "Of the file", "none"
	configured, err := s.Client(client.Own{})
	if err != nil {
		t.Fatal(err)
	}
	r.Use([]*client.Client{configured}, client.Own{})
	if c, err := r.Client(t.Context(), "agenda"); err != nil || c.Title != "Of the file" {
		t.Errorf("Client = %v, %v, want that of the configuration", c, err)
	}
	r.Use(nil, client.Own{})
	if c, err := r.Client(t.Context(), "agenda"); err != nil || c.Title != "Agenda partagé" {
		t.Errorf("when it is gone from the configuration, Client = %v, %v", c, err)
	}
	if _, err := client.NewRegistry(nil, newClock().now).Client(t.Context(), "agenda"); !errors.Is(err, client.ErrUnknown) {
		t.Errorf("without a database: %v, want ErrUnknown", err)
	}
}

func TestRegistryAsksNobodyAboutWhatIsNoID(t *testing.T) {
	db, _ := kept(t)
	r := client.NewRegistry(db, newClock().now)
	for _, id := range []string{"", "a b", "agenda\x00", "agendа", strings.Repeat("a", 65), "https://agenda.example.fr"} {
		if _, err := r.Client(t.Context(), id); !errors.Is(err, client.ErrUnknown) {
			t.Errorf("Client(%q) = %v, want ErrUnknown", id, err)
		}
	}
	if got := db.asked.Load(); got != 0 {
		t.Errorf("the database was asked %d times", got)
	}
}

func TestRegistryRefusesARecordThatDoesNotHoldTogether(t *testing.T) {
	_, hash := client.NewSecret()
	good := settings().String()
	for name, v := range map[string]client.Record{
		"no JSON":                   {ID: "agenda", Settings: "{", Secret: hash},
		"nothing":                   {ID: "agenda", Secret: hash},
		"a key that nobody knows":   {ID: "agenda", Settings: strings.Replace(good, "{", `{"public":true,`, 1), Secret: hash},
		"two objects":               {ID: "agenda", Settings: good + good, Secret: hash},
		"another client's settings": {ID: "agenda", Settings: strings.Replace(good, `"agenda"`, `"other"`, 1), Secret: hash},
		"a wildcard":                {ID: "agenda", Settings: strings.Replace(good, "/callback", "/*", 1), Secret: hash},
		"http":                      {ID: "agenda", Settings: strings.Replace(good, "https:", "http:", 1), Secret: hash},
		"the gateway's own host":    {ID: "agenda", Settings: strings.Replace(good, "agenda.example.fr", "auth.example.fr", 1), Secret: hash},
		"no secret":                 {ID: "agenda", Settings: good},
		"the name of a service":     {ID: "mail", Settings: strings.Replace(good, `"agenda"`, `"mail"`, 1), Secret: hash},
	} {
		t.Run(name, func(t *testing.T) {
			r := client.NewRegistry(&records{all: map[string]client.Record{v.ID: v}}, newClock().now)
			r.Use(nil, own())
			c, err := r.Client(t.Context(), v.ID)
			if !errors.Is(err, client.ErrUnknown) || c != nil || err.Error() == client.ErrUnknown.Error() {
				t.Errorf("Client = %v, %v, want ErrUnknown, and why", c, err)
			}
		})
	}
}

func TestOldSecretEndsInTime(t *testing.T) {
	clock := newClock()
	old, oldHash := client.NewSecret()
	fresh, freshHash := client.NewSecret()
	db := &records{all: map[string]client.Record{"agenda": {
		ID: "agenda", Settings: settings().String(), Secret: freshHash, OldSecret: oldHash, OldUntil: clock.at.Add(10 * time.Second),
	}}}
	r := client.NewRegistry(db, clock.now)
	proved := func(secret string) bool {
		t.Helper()
		c, err := r.Client(t.Context(), "agenda")
		if err != nil {
			t.Fatal(err)
		}
		return c.ProvedBy(secret)
	}
	clock.at = clock.at.Add(9 * time.Second)
	if !proved(old) || !proved(fresh) {
		t.Error("one of the two is not good during the overlap")
	}
	clock.at = clock.at.Add(time.Second)
	if proved(old) || !proved(fresh) {
		t.Error("after the overlap the old secret is good, or the new one is not")
	}
}

// E8: Zitadel CVE-2026-27840 took part of a token for the whole.
func TestE8SecretsAreComparedWhole(t *testing.T) {
	db, secret := kept(t)
	c, err := client.NewRegistry(db, newClock().now).Client(t.Context(), "agenda")
	if err != nil {
		t.Fatal(err)
	}
	other, _ := client.NewSecret()
	for _, wrong := range []string{"", secret[:42], secret + "A", secret + "=", " " + secret, strings.ToUpper(secret), other} {
		if c.ProvedBy(wrong) {
			t.Errorf("%d characters that are not the secret prove the client", len(wrong))
		}
	}
	if _, err := client.HashSecret(secret[:42]); !errors.Is(err, client.ErrSecret) {
		t.Errorf("HashSecret of a part = %v, want ErrSecret", err)
	}
	// A token of another kind is not the secret, whatever its text.
	if h, _ := token.Of(token.Refresh, secret); h == c.SecretHashes[0] {
		t.Error("an access token could be a secret")
	}
	c.Auth = client.Public
	if c.ProvedBy(secret) {
		t.Error("a public client proves itself by a secret")
	}
}
