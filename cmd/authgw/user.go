package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/config"
	"promess/authgw/internal/store"
)

// userFlags are those of every user command.
type userFlags struct {
	config string
	json   bool
}

func (f *userFlags) declare(fs *flag.FlagSet, what string) {
	fs.StringVar(&f.config, "config", "", "configuration `FILE` (YAML)")
	fs.BoolVar(&f.json, "json", false, what)
}

// accounts is a database whose accounts are looked at and changed.
type accounts struct {
	*database
	trail  *audit.Log // nil: nothing is changed
	action string
	actor  string
}

// open opens the database of the configuration, to look at.
func (f *userFlags) open(ctx context.Context, stderr io.Writer) (*accounts, error) {
	c, err := loadConfig(f.config)
	if err != nil {
		return nil, err
	}
	return openAccounts(ctx, c, stderr)
}

func openAccounts(ctx context.Context, c *config.Gateway, stderr io.Writer) (*accounts, error) {
	d, err := openDatabase(ctx, c, stderr)
	if err != nil {
		return nil, err
	}
	return &accounts{database: d}, nil
}

// begin opens the audit trail and writes down who is about to do what: without that nothing is done.
func (a *accounts) begin(ctx context.Context, action, subject, detail string) error {
	return a.beginOn(ctx, action, audit.Event{Subject: subject, Detail: detail})
}

// beginOn is begin for what e says it is about.
func (a *accounts) beginOn(ctx context.Context, action string, e audit.Event) (err error) {
	if a.trail == nil {
		if a.trail, err = a.openAudit(ctx); err != nil {
			return err
		}
	}
	a.action, a.actor = action, audit.Operator()
	e.Kind = audit.AdminAction
	return a.record(e)
}

// close ends the trail and closes the database.
func (a *accounts) close() {
	if a.trail != nil {
		a.trail.Close()
	}
	a.store.Close()
}

// recorders is how many events wait for the trail at once: it keeps those that wait in one transaction.
const recorders = 512

// record writes events of what this command does. An error after the fact means that it is done and not written down.
func (a *accounts) record(events ...audit.Event) error {
	var g errgroup.Group
	g.SetLimit(recorders)
	for _, e := range events {
		e.Actor, e.Action = a.actor, a.action
		g.Go(func() error { return a.trail.Record(e) })
	}
	return g.Wait()
}

// ended are the events of sessions that were ended.
func ended(subject, reason string, sessions []string) []audit.Event {
	var all []audit.Event
	for _, id := range sessions {
		all = append(all, audit.Event{Kind: audit.SessionEnded, Subject: subject, Session: id, Reason: reason})
	}
	return all
}

// find returns the accounts that references mean: all of them, or none and why.
func (a *accounts) find(ctx context.Context, references []string) ([]store.Account, error) {
	var found []store.Account
	var problems []string
	for _, r := range references {
		account, err := a.store.FindAccount(ctx, r)
		switch {
		case errors.Is(err, store.ErrNotFound):
			problem := fmt.Sprintf("no account has the subject or the national identifier %q", r)
			meant, err := a.store.AccountByIdentifier(ctx, r)
			switch {
			case err == nil: // what the person says on the telephone; whether that is whom the operator means is theirs to say
				problem += "; who signs in with it has " + visible(meant.NationalID)
			case !errors.Is(err, store.ErrNotFound):
				return nil, err
			}
			problems = append(problems, problem)
		case errors.Is(err, store.ErrAmbiguous):
			problems = append(problems, fmt.Sprintf("%q means more than one account; give the subject, which 'authgw user list' shows", r))
		case err != nil:
			return nil, err
		}
		found = append(found, account)
	}
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "\n") + "\nnothing was done")
	}
	return found, nil
}

// printJSON prints one object on one line.
func printJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return out.Encode(v)
}

// visible is a text for a terminal: a name that came from elsewhere does not steer it.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// accountJSON is an account for programs, which rely on it: every key is always there.
type accountJSON struct {
	Subject    string  `json:"subject"`
	IDType     string  `json:"id_type"`
	NationalID string  `json:"national_id"`
	GivenName  string  `json:"given_name"`
	FamilyName string  `json:"family_name"`
	Title      string  `json:"title"`
	Profession string  `json:"profession"`
	Mailbox    string  `json:"mailbox"`
	LoginName  string  `json:"login_name"`
	Address    string  `json:"address"`
	Registered *string `json:"registered_at"` // null: the person has not seen yet what is recorded
	State      string  `json:"state"`
}

func toJSON(a store.Account) accountJSON {
	v := accountJSON{
		Subject: a.Subject, IDType: a.IDType, NationalID: a.NationalID, GivenName: a.GivenName, FamilyName: a.FamilyName, Title: a.Title,
		Profession: a.Profession, Mailbox: a.Mailbox, LoginName: a.LoginName, Address: a.Address, State: a.State(),
	}
	if !a.Registered.IsZero() {
		at := a.Registered.Format(time.RFC3339)
		v.Registered = &at
	}
	return v
}
