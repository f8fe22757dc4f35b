package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/cli"
	"promess/authgw/internal/config"
	"promess/authgw/internal/mail"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

func userReset() cli.Command {
	return cli.Command{
		Name:    "user reset",
		Args:    "--config FILE [--address] [--sessions] [--factor KIND]… [--json] SUBJECT|NATIONAL_ID",
		Summary: "forget a person's ordinary address or means of proof, or end all of their sessions",
		Help: `
With --address, the person is asked for an ordinary address at the next login, and proves it anew. With
--sessions, everything that the person has open ends, at once here and within two seconds in each gateway that
runs; they may sign in again. With --factor, the person's password, phone apps (totp), recovery codes, passkeys,
phones, or all of these are gone at once, and open no login any more; sessions that they opened go on, unless --sessions
is given too. With the password goes an invitation to choose one. The person is told by mail, at their ordinary
address, and adds new ones after signing in with the card; who has no other way to sign in is invited with 'authgw
user invite'.

  authgw user reset --config /etc/authgw/authgw.yaml --address 810000000001
  authgw user reset --config /etc/authgw/authgw.yaml --address --sessions 810000000001
  authgw user reset --config /etc/authgw/authgw.yaml --factor totp --factor recovery 810000000001`,
		Run: runUserReset,
	}
}

// resetJSON is what was done, for programs.
type resetJSON struct {
	Subject          string `json:"subject"`
	AddressForgotten bool   `json:"address_forgotten"`
	SessionsEnded    int    `json:"sessions_ended"`
	FactorsRemoved   int    `json:"factors_removed"`
}

// kinds reads the kinds of --factor, which may be repeated.
func kinds(all *[]store.FactorKind) func(string) error {
	known := []store.FactorKind{store.Password, store.TOTP, store.Recovery, store.Passkey, store.Phone}
	return func(text string) error {
		switch {
		case text == "all":
			*all = known
		case !slices.Contains(known, store.FactorKind(text)):
			return errors.New("password, totp, recovery, passkey, phone or all expected")
		case !slices.Contains(*all, store.FactorKind(text)):
			*all = append(*all, store.FactorKind(text))
		}
		return nil
	}
}

func runUserReset(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	var f userFlags
	f.declare(fs, "print one JSON object: subject, address_forgotten, sessions_ended, factors_removed")
	address := fs.Bool("address", false, "forget the ordinary address")
	sessions := fs.Bool("sessions", false, "end all sessions")
	var factors []store.FactorKind
	fs.Func("factor", "remove the means of proof of a `KIND`: password, totp, recovery, passkey, phone or all; may be repeated", kinds(&factors))
	rest, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	if !*address && !*sessions && len(factors) == 0 {
		return cli.Usagef("nothing to reset: --address, --sessions or --factor expected")
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
	done, err := a.reset(ctx, found[0], *address, *sessions, factors)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(io.Out, done)
	}
	if done.AddressForgotten {
		fmt.Fprintf(io.Out, "%s is asked for an ordinary address at the next login\n", done.Subject)
	}
	if len(factors) > 0 {
		fmt.Fprintf(io.Out, "%s had %d of these factors, which are removed\n", done.Subject, done.FactorsRemoved)
	}
	if *sessions {
		fmt.Fprintf(io.Out, "%s had %d session(s), which have ended\n", done.Subject, done.SessionsEnded)
	}
	return nil
}

func (a *accounts) reset(ctx context.Context, person store.Account, address, sessions bool, factors []store.FactorKind) (resetJSON, error) {
	subject := person.Subject
	done := resetJSON{Subject: subject}
	if err := a.begin(ctx, "user reset", subject, fmt.Sprintf("address: %t, sessions: %t, factors: %v", address, sessions, factors)); err != nil {
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
	for _, kind := range factors {
		n, err := a.removeFactors(ctx, person, kind)
		if err != nil {
			return done, err
		}
		done.FactorsRemoved += n
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

func (a *accounts) removeFactors(ctx context.Context, person store.Account, kind store.FactorKind) (int, error) {
	subject := person.Subject
	if kind == store.Password { // an invitation would bring one back
		if err := a.store.DropInvitation(ctx, subject); err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, err
		}
	}
	n, err := a.store.RemoveFactors(ctx, subject, kind)
	if err != nil || n == 0 {
		return n, err
	}
	a.tell(ctx, person, mail.Notice{Kind: mail.FactorRemoved, Factor: idp.NoticeOf(kind)})
	return n, a.record(audit.Event{Kind: audit.FactorRemoved, Subject: subject, Factor: string(kind), Reason: "administrator"})
}

// tell leaves a notice of what the support has done, for the address that the account had before. What was done stays done when none can be
// left: the help desk reads that, and tells the person. Without mail, or without an address, there is nobody to tell.
func (a *accounts) tell(ctx context.Context, to store.Account, n mail.Notice) {
	if a.config.Mail.Host == "" || to.Address == "" {
		return
	}
	keys, err := config.LoadSealKeys(a.config.SealKeys)
	if err == nil {
		err = seal.VerifyKeys(ctx, keys, a.store)
	}
	if err == nil {
		n.At = time.Now()
		err = a.outbox(keys).Put(ctx, to, n)
	}
	if err != nil {
		a.log.Error("done, but the person will not be told by mail", "error", err)
	}
}
