package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/cli"
)

func userReset() cli.Command {
	return cli.Command{
		Name:    "user reset",
		Args:    "--config FILE [--address] [--sessions] [--json] SUBJECT|NATIONAL_ID",
		Summary: "forget a person's ordinary address, or end all of their sessions",
		Help: `
With --address, the person is asked for an ordinary address at the next login, and proves it anew. With
--sessions, everything that the person has open ends, at once here and within two seconds in each gateway that
runs; they may sign in again.

  authgw user reset --config /etc/authgw/authgw.yaml --address 810000000001
  authgw user reset --config /etc/authgw/authgw.yaml --address --sessions kq2v…`,
		Run: runUserReset,
	}
}

// resetJSON is what was done, for programs.
type resetJSON struct {
	Subject          string `json:"subject"`
	AddressForgotten bool   `json:"address_forgotten"`
	SessionsEnded    int    `json:"sessions_ended"`
}

func runUserReset(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	var f userFlags
	f.declare(fs, "print one JSON object: subject, address_forgotten, sessions_ended")
	address := fs.Bool("address", false, "forget the ordinary address")
	sessions := fs.Bool("sessions", false, "end all sessions")
	rest, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	if !*address && !*sessions {
		return cli.Usagef("nothing to reset: --address, --sessions or both expected")
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
	done, err := a.reset(ctx, found[0].Subject, *address, *sessions)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(io.Out, done)
	}
	if done.AddressForgotten {
		fmt.Fprintf(io.Out, "%s is asked for an ordinary address at the next login\n", done.Subject)
	}
	if *sessions {
		fmt.Fprintf(io.Out, "%s had %d session(s), which have ended\n", done.Subject, done.SessionsEnded)
	}
	return nil
}

func (a *accounts) reset(ctx context.Context, subject string, address, sessions bool) (resetJSON, error) {
	done := resetJSON{Subject: subject}
	if err := a.begin(ctx, "user reset", subject, fmt.Sprintf("address: %t, sessions: %t", address, sessions)); err != nil {
		return done, err
	}
	if address {
		if err := a.store.ForgetAddress(ctx, subject, time.Now()); err != nil {
			return done, err
		}
		done.AddressForgotten = true
		if err := a.record(audit.Event{Kind: audit.AddressChanged, Subject: subject, Reason: "forgotten"}); err != nil {
			return done, err
		}
	}
	if sessions {
		ids, err := a.store.EndSessionsOf(ctx, subject, "", "administrator", time.Now())
		if err != nil {
			return done, err
		}
		done.SessionsEnded = len(ids)
		if err := a.record(ended(subject, "administrator", ids)...); err != nil {
			return done, err
		}
	}
	return done, nil
}
