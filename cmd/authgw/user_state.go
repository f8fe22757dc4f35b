package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/cli"
	"promess/authgw/internal/store"
)

// maxReferences bounds how many accounts one command names; more are for an import.
const maxReferences = 1000

func userDisable() cli.Command {
	return cli.Command{
		Name:    "user disable",
		Args:    "--config FILE [--json] SUBJECT|NATIONAL_ID…",
		Summary: "refuse persons from now on, and end their sessions at once",
		Help: `
The persons are refused by every way to sign in, and what they have open ends: at once here, within two seconds
in each gateway that runs on the same database. If one identifier is that of no account, or of more than one,
nothing is done. Who is disabled already stays so.

  authgw user disable --config /etc/authgw/authgw.yaml 810000000001`,
		Run: func(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
			return runUserState(ctx, fs, args, io, "user disable")
		},
	}
}

func userEnable() cli.Command {
	return cli.Command{
		Name:    "user enable",
		Args:    "--config FILE [--json] SUBJECT|NATIONAL_ID…",
		Summary: "let persons in again who were disabled",
		Help: `
The persons may sign in again. Sessions that the disabling ended stay ended. If one identifier is that of no
account, or of more than one, nothing is done.

  authgw user enable --config /etc/authgw/authgw.yaml 810000000001`,
		Run: func(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
			return runUserState(ctx, fs, args, io, "user enable")
		},
	}
}

// stateJSON is what was done to one account, for programs.
type stateJSON struct {
	Subject       string `json:"subject"`
	State         string `json:"state"`
	Changed       bool   `json:"changed"`
	SessionsEnded int    `json:"sessions_ended"`
}

func runUserState(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams, action string) error {
	var f userFlags
	f.declare(fs, "print one JSON object for each account: subject, state, changed, sessions_ended")
	rest, err := cli.Parse(fs, args, 1, maxReferences)
	if err != nil {
		return err
	}
	a, err := f.open(ctx, io.Err)
	if err != nil {
		return err
	}
	defer a.close()
	found, err := a.find(ctx, rest)
	if err != nil {
		return err
	}
	change := a.disable
	if action == "user enable" {
		change = a.enable
	}
	for _, v := range found {
		if err := a.begin(ctx, action, v.Subject, ""); err != nil {
			return err
		}
		done, err := change(ctx, v.Subject)
		if err != nil {
			return err
		}
		if f.json {
			err = printJSON(io.Out, done)
		} else {
			err = printState(io, done)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func printState(io cli.Streams, done stateJSON) error {
	text := "is " + done.State + " now"
	if !done.Changed {
		text = "was " + done.State + " already"
	}
	if done.SessionsEnded > 0 {
		text += fmt.Sprintf(", %d session(s) ended", done.SessionsEnded)
	}
	_, err := fmt.Fprintf(io.Out, "%s %s\n", done.Subject, text)
	return err
}

func (a *accounts) disable(ctx context.Context, subject string) (stateJSON, error) {
	sessions, err := a.store.DisableAccount(ctx, subject, time.Now())
	done := stateJSON{Subject: subject, State: store.StateDisabled, Changed: err == nil, SessionsEnded: len(sessions)}
	if errors.Is(err, store.ErrNotFound) {
		return done, nil // disabled already, as it was found a moment ago
	}
	if err != nil {
		return done, err
	}
	return done, a.record(append(ended(subject, "disabled", sessions), audit.Event{Kind: audit.AccountDisabled, Subject: subject})...)
}

func (a *accounts) enable(ctx context.Context, subject string) (stateJSON, error) {
	err := a.store.EnableAccount(ctx, subject, time.Now())
	done := stateJSON{Subject: subject, State: store.StateActive, Changed: err == nil}
	if errors.Is(err, store.ErrNotFound) {
		return done, nil
	}
	if err != nil {
		return done, err
	}
	return done, a.record(audit.Event{Kind: audit.AccountEnabled, Subject: subject})
}
