package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/cli"
	"promess/authgw/internal/store"
)

func userShow() cli.Command {
	return cli.Command{
		Name:    "user show",
		Args:    "--config FILE [--json] SUBJECT|NATIONAL_ID",
		Summary: "show an account: mailboxes, structures, factors, open sessions, last events",
		Help: `
Shows what is recorded of a person, where they are signed in, and the last ten events of the audit trail about
them. An identifier that no account has, or more than one, is refused. The gateway may run meanwhile.

  authgw user show --config /etc/authgw/authgw.yaml 810000000001`,
		Run: runUserShow,
	}
}

// shownEvents are the last events that are shown.
const shownEvents = 10

// shownJSON is an account with what belongs to it, for programs. Every key is always there, and no list is null.
type shownJSON struct {
	accountJSON
	Mailboxes  []mailboxJSON   `json:"mailboxes"`
	Structures []structureJSON `json:"structures"`
	Factors    []factorJSON    `json:"factors"` // means of proof besides the card
	Sessions   []sessionJSON   `json:"sessions"`
	Events     []audit.Event   `json:"events"` // the oldest first
}

type mailboxJSON struct {
	Address string `json:"address"`
	Kind    string `json:"kind"` // nominative, organisational
}

type structureJSON struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type factorJSON struct {
	ID    string    `json:"id"`
	Kind  string    `json:"kind"` // password, totp, recovery, passkey, phone
	Label string    `json:"label"`
	Added time.Time `json:"added"`
}

type sessionJSON struct {
	ID      string    `json:"id"`
	Method  string    `json:"method"`
	ACR     string    `json:"acr"`
	Source  string    `json:"source"`
	Browser string    `json:"browser"`
	Since   time.Time `json:"since"`
	Seen    time.Time `json:"seen"`
	Expires time.Time `json:"expires"`
}

func runUserShow(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	var f userFlags
	f.declare(fs, "print one JSON object")
	rest, err := cli.Parse(fs, args, 1, 1)
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
	shown, err := a.show(ctx, found[0])
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(io.Out, shown)
	}
	return printShown(io, shown)
}

// show gathers what belongs to an account.
func (a *accounts) show(ctx context.Context, v store.Account) (shownJSON, error) {
	shown := shownJSON{accountJSON: toJSON(v), Mailboxes: []mailboxJSON{}, Structures: []structureJSON{}, Factors: []factorJSON{}, Sessions: []sessionJSON{}, Events: []audit.Event{}}
	mailboxes, err := a.store.Mailboxes(ctx, v.Subject)
	if err != nil {
		return shown, err
	}
	for _, m := range mailboxes {
		kind := "nominative"
		if m.Organisational {
			kind = "organisational"
		}
		shown.Mailboxes = append(shown.Mailboxes, mailboxJSON{m.Address, kind})
	}
	structures, err := a.store.StructuresOf(ctx, v.Subject)
	if err != nil {
		return shown, err
	}
	for _, s := range structures {
		shown.Structures = append(shown.Structures, structureJSON(s))
	}
	factors, err := a.store.Factors(ctx, v.Subject)
	if err != nil {
		return shown, err
	}
	for _, f := range factors {
		shown.Factors = append(shown.Factors, factorJSON{f.ID, string(f.Kind), f.Label, f.Created})
	}
	sessions, err := a.store.SessionsOf(ctx, v.Subject, a.config.Session.Idle, time.Now())
	if err != nil {
		return shown, err
	}
	for _, s := range sessions {
		shown.Sessions = append(shown.Sessions, sessionJSON{s.ID, s.Method, s.ACR, s.Source, s.Browser, s.CreatedAt, s.SeenAt, s.ExpiresAt})
	}
	err = a.store.AuditRecords(ctx, store.AuditFilter{Subject: v.Subject}, func(r store.AuditRecord) error {
		var e audit.Event
		if err := json.Unmarshal([]byte(r.Body), &e); err != nil {
			return fmt.Errorf("audit record %d: %w", r.Seq, err)
		}
		if len(shown.Events) == shownEvents {
			shown.Events = append(shown.Events[:0], shown.Events[1:]...)
		}
		shown.Events = append(shown.Events, e)
		return nil
	})
	return shown, err
}

func printShown(io cli.Streams, v shownJSON) error {
	tw := tabwriter.NewWriter(io.Out, 0, 0, 2, ' ', 0)
	line := func(key string, values ...string) {
		values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
		if len(values) > 0 {
			fmt.Fprintf(tw, "%s\t%s\n", key, visible(strings.Join(values, " ")))
		}
	}
	line("subject", v.Subject)
	line("state", v.State)
	line("identifier", v.IDType, v.NationalID)
	line("name", v.Title, v.GivenName, v.FamilyName)
	line("profession", v.Profession)
	line("login name", v.LoginName)
	line("address", v.Address)
	for _, m := range v.Mailboxes {
		line("mailbox", m.Address, "("+m.Kind+")")
	}
	for _, s := range v.Structures {
		line("structure", s.ID, s.Name)
	}
	for _, f := range v.Factors {
		line("factor", f.Kind, f.Label, "since", f.Added.Format(time.RFC3339))
	}
	for _, s := range v.Sessions {
		line("session", s.Method, "since", s.Since.Format(time.RFC3339)+", seen", s.Seen.Format(time.RFC3339), s.Source, s.Browser)
	}
	for _, e := range v.Events {
		line("event", e.Time.Format(time.RFC3339), string(e.Kind), e.Reason, e.Action, e.Actor, e.Source)
	}
	return tw.Flush()
}
