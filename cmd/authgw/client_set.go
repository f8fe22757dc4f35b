package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

func clientSet() cli.Command {
	return cli.Command{
		Name:    "client set",
		Args:    "--config FILE [flags] ID",
		Summary: "change settings of a client",
		Help: `
Changes the settings whose flags are given, and no others, within two seconds on each gateway that runs. A flag
that may be repeated gives the whole list; with '' it empties it. When what the client may learn or of whom, how
it knows persons or how it proves itself changes, what it was given ends: its users come back through the login,
which they do not see while their session lasts.

When it is to prove itself by a secret now, that is made, and printed once.

  authgw client set --config /etc/authgw/authgw.yaml --scope profile --scope email --allow-level hardware planning
  authgw client set --config /etc/authgw/authgw.yaml --backchannel-logout-uri '' planning`,
		Run: runClientSet,
	}
}

// setJSON is what was done to a client, for programs.
type setJSON struct {
	ID          string `json:"client_id"`
	Changed     bool   `json:"changed"`
	GrantsEnded int64  `json:"grants_ended"`
	Secret      string `json:"client_secret,omitempty"` // a new one, the only time
}

func runClientSet(ctx context.Context, fs *flag.FlagSet, args []string, streams cli.Streams) error {
	var f userFlags
	var given settingFlags
	f.declare(fs, "print one JSON object: client_id, changed, grants_ended, client_secret when one was made")
	given.declare(fs)
	rest, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	if len(given.changes) == 0 {
		return cli.Usagef("no setting is given; --help lists them")
	}
	a, before, err := f.openClient(ctx, rest[0], streams.Err)
	if err != nil {
		return err
	}
	defer a.close()
	done, err := a.setClient(ctx, before, given)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(streams.Out, done)
	}
	if done.Secret != "" {
		return f.printSecret(streams, secretJSON{ID: done.ID, Secret: done.Secret})
	}
	text := "is changed"
	if !done.Changed {
		text = "was so already"
	}
	if done.GrantsEnded > 0 {
		text += fmt.Sprintf(", %d grant(s) ended", done.GrantsEnded)
	}
	_, err = fmt.Fprintf(streams.Out, "%s %s\n", done.ID, text)
	return err
}

// setClient changes a client.
func (a *accounts) setClient(ctx context.Context, before client.Record, given settingFlags) (setJSON, error) {
	done := setJSON{ID: before.ID}
	old, err := client.ParseSettings(before.Settings)
	if err != nil {
		return done, fmt.Errorf("what the database has of %q cannot be read; remove it and add it again: %w", before.ID, err)
	}
	next := old
	if err := given.apply(&next); err != nil {
		return done, err
	}
	checked, err := next.Client(a.config.Own())
	if err != nil {
		return done, refusedSettings(err)
	}
	after := before
	after.Settings = next.String()
	switch secret := before.Secret != (token.Hash{}); {
	case checked.Auth == client.SharedSecret && !secret:
		done.Secret, after.Secret = client.NewSecret()
	case checked.Auth != client.SharedSecret:
		after.Secret, after.OldSecret, after.OldUntil = token.Hash{}, token.Hash{}, time.Time{}
	}
	if after == before {
		return done, nil
	}
	done.Changed = true
	if err := a.beginClient(ctx, "client set", before.ID); err != nil {
		return done, err
	}
	if err := a.changeClient(ctx, before, after); err != nil {
		return done, err
	}
	if isNarrower(old, next) { // E5
		if done.GrantsEnded, err = a.store.EndGrantsOf(ctx, before.ID, time.Now()); err != nil {
			return done, err
		}
	}
	return done, a.changedClient(before.ID, "changed: "+strings.Join(slices.Compact(given.keys), ", "))
}

// changeClient writes a client, unless somebody else has meanwhile.
func (a *accounts) changeClient(ctx context.Context, before, after client.Record) error {
	err := a.store.ChangeClient(ctx, before, after, time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%q was changed or removed meanwhile; nothing was done, run the command again", before.ID)
	}
	return err
}

// isNarrower says whether what a client was given by old settings may be more than the next ones give, or another thing.
func isNarrower(old, next client.Settings) bool {
	part := func(s client.Settings) client.Settings {
		return client.Settings{
			Scopes: s.Scopes, Refresh: s.Refresh, Device: s.Device, Consent: s.Consent, Allow: s.Allow, MaxAge: s.MaxAge, Subject: s.Subject, Sector: s.Sector,
			Auth: s.Auth, Certificates: s.Certificates, JWKS: s.JWKS,
		}
	}
	return !reflect.DeepEqual(part(old), part(next))
}
