package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/client"
	"promess/authgw/internal/token"
)

// maxOverlap bounds how long an old secret is good beside a new one.
const maxOverlap = 30 * 24 * time.Hour

func clientRotateSecret() cli.Command {
	return cli.Command{
		Name:    "client rotate-secret",
		Args:    "--config FILE [--overlap DURATION] [--json] ID",
		Summary: "give a client a new secret",
		Help: `
Makes a new secret and prints it once. The one before stays good for --overlap, so that the service can be
changed meanwhile; one that was good from an earlier rotation ends now. With --overlap 0 the old one ends at
once: here, and within two seconds on each gateway that runs. That is for a secret that somebody else knows.

  authgw client rotate-secret --config /etc/authgw/authgw.yaml planning
  authgw client rotate-secret --config /etc/authgw/authgw.yaml --overlap 0 planning`,
		Run: runClientRotateSecret,
	}
}

func runClientRotateSecret(ctx context.Context, fs *flag.FlagSet, args []string, streams cli.Streams) error {
	var f userFlags
	f.declare(fs, `print {"client_id":"…","client_secret":"…","old_secret_until":"…"}`)
	overlap := fs.Duration("overlap", 24*time.Hour, "`DURATION` for which the old secret stays good")
	rest, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	if *overlap < 0 || *overlap > maxOverlap {
		return cli.Usagef("--overlap: a duration from 0 to %gh expected, %s given", maxOverlap.Hours(), *overlap)
	}
	a, before, err := f.openClient(ctx, rest[0], streams.Err)
	if err != nil {
		return err
	}
	defer a.close()
	s, err := client.ParseSettings(before.Settings)
	if err != nil {
		return fmt.Errorf("what the database has of %q cannot be read; remove it and add it again: %w", before.ID, err)
	}
	if auth := client.Auth(s.Auth); auth != "" && auth != client.SharedSecret {
		return fmt.Errorf("%q has no secret: it proves itself by %s", before.ID, s.Auth)
	}
	if err := a.beginClient(ctx, "client rotate-secret", before.ID); err != nil {
		return err
	}
	after, shown := before, secretJSON{ID: before.ID}
	shown.Secret, after.Secret = client.NewSecret()
	after.OldSecret, after.OldUntil = token.Hash{}, time.Time{}
	if *overlap > 0 {
		until := time.Now().Add(*overlap).UTC().Truncate(time.Second)
		after.OldSecret, after.OldUntil, shown.OldUntil = before.Secret, until, &until
	}
	if err := a.changeClient(ctx, before, after); err != nil {
		return err
	}
	return errors.Join(a.changedClient(before.ID, "secret rotated"), f.printSecret(streams, shown))
}
