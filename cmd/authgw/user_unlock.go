package main

import (
	"context"
	"flag"
	"fmt"

	"promess/authgw/internal/cli"
)

func userUnlock() cli.Command {
	return cli.Command{
		Name:    "user unlock",
		Args:    "--config FILE [--json] SUBJECT|NATIONAL_ID…",
		Summary: "let persons try again at once who wait after failed logins",
		Help: `
After some failed passwords or codes a person waits before the next try, for five minutes at most; at a browser
that they have signed in with before, other people's failures do not count. This forgets the failures of the
persons, at every browser and on every gateway, at once. It changes neither passwords nor codes: 'authgw user
reset --factor' does. If one identifier is that of no account, or of more than one, nothing is done.

  authgw user unlock --config /etc/authgw/authgw.yaml 810000000001`,
		Run: runUserUnlock,
	}
}

// unlockJSON is what was done to one account, for programs.
type unlockJSON struct {
	Subject string `json:"subject"`
	Cleared int    `json:"cleared"`
}

func runUserUnlock(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	var f userFlags
	f.declare(fs, "print one JSON object for each account: subject, cleared")
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
	for _, v := range found {
		done := unlockJSON{Subject: v.Subject}
		if done.Cleared, err = a.unlock(ctx, v.Subject); err != nil {
			return err
		}
		if f.json {
			err = printJSON(io.Out, done)
		} else {
			_, err = fmt.Fprintf(io.Out, "%s may try again at once; %d counter(s) of failures cleared\n", done.Subject, done.Cleared)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unlock forgets the failures about an account, and says at how many counters there were some.
func (a *accounts) unlock(ctx context.Context, subject string) (int, error) {
	if err := a.begin(ctx, "user unlock", subject, ""); err != nil {
		return 0, err
	}
	return a.store.ClearAttempts(ctx, subject)
}
