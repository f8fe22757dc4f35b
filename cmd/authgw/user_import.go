package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"promess/authgw/internal/accountfile"
	"promess/authgw/internal/cli"
	"promess/authgw/internal/store"
)

func userImport() cli.Command {
	return cli.Command{
		Name:    "user import",
		Args:    "--config FILE [--dry-run] [--json] FILE.csv",
		Summary: "make and change many accounts from a table",
		Help: `
Reads a table in CSV: UTF-8, commas or semicolons, the names of the columns first, in any order. Several values
in a cell are separated by "|".

  id_type                   RPPS, ADELI, FINESS …; needed
  national_id               with the digit of its type in front; needed
  given_name, family_name   needed; the card's own replace them at the next login
  profession                code of nomenclature G15
  mailboxes                 of this person alone; the first is the one that services are told
  organisational_mailboxes  that several persons may open
  structures                ID=NAME|ID=NAME
  login_name                typed in place of the identifier at a login with a password
  address                   ordinary e-mail, which you answer for; otherwise the person is asked. Not in a
                            domain of the person's mailboxes or of mail.protected_domains
  state                     active or disabled, which ends the person's sessions at once

A column that is absent and a cell that is empty say nothing: what is recorded stays. "-" in a cell of a list
empties the list. An account is found by id_type and national_id, and by nothing else.

All lines are judged before anything is written. If one is wrong, every fault is printed with its line and
column, nothing is written, and the exit status is 1. A second run of the same file changes nothing. The gateway
may run meanwhile. If the import breaks off, run it again: what is written stays and is not written twice.

  authgw user import --config /etc/authgw/authgw.yaml --dry-run staff.csv
  authgw user import --config /etc/authgw/authgw.yaml staff.csv`,
		Run: runUserImport,
	}
}

// importJSON is the answer for programs. Every key is always there.
type importJSON struct {
	DryRun    bool          `json:"dry_run"`
	Added     int           `json:"added"`
	Changed   int           `json:"changed"`
	Unchanged int           `json:"unchanged"`
	Problems  []problemJSON `json:"problems"` // with one, nothing was written
}

type problemJSON struct {
	Line   int    `json:"line"`
	Column string `json:"column"`
	Text   string `json:"text"`
}

func runUserImport(ctx context.Context, fs *flag.FlagSet, args []string, streams cli.Streams) error {
	var f userFlags
	f.declare(fs, "print one JSON object: dry_run, added, changed, unchanged, problems")
	dry := fs.Bool("dry-run", false, "say what would be done, and do nothing")
	rest, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	a, err := f.open(ctx, streams.Err)
	if err != nil {
		return err
	}
	defer a.close()
	plan, problems, err := a.plan(ctx, rest[0])
	if err != nil {
		return err
	}
	answer := importJSON{DryRun: *dry, Problems: []problemJSON{}}
	for _, p := range problems {
		answer.Problems = append(answer.Problems, problemJSON(p))
	}
	if len(problems) == 0 {
		answer.Added, answer.Changed, answer.Unchanged = plan.Added, plan.Changed, plan.Unchanged
		if !*dry && plan.Added+plan.Changed > 0 {
			if err := a.carryOut(ctx, plan, streams.Err); err != nil {
				return err
			}
		}
	}
	if f.json {
		err = printJSON(streams.Out, answer)
	} else {
		err = printImport(streams, rest[0], answer)
	}
	if err == nil && len(problems) > 0 {
		return cli.ErrNegative
	}
	return err
}

// plan reads a table and compares it with the database. With problems there is no plan.
func (a *accounts) plan(ctx context.Context, name string) (*store.Plan, []accountfile.Problem, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	table, err := accountfile.Read(file, a.config.Mail.ProtectedDomains)
	var refused *accountfile.Refused
	switch {
	case errors.As(err, &refused):
		return nil, refused.Problems, nil
	case err != nil:
		return nil, nil, err
	}
	plan, err := a.store.PlanImport(ctx, table.Entries)
	if err != nil {
		return nil, nil, err
	}
	var problems []accountfile.Problem
	for _, c := range plan.Conflicts {
		problems = append(problems, accountfile.Problem{Line: table.Lines[c.Entry], Column: c.Column, Text: c.Text})
	}
	return plan, problems, nil
}

// carryOut writes a plan, with a line on stderr that counts where somebody looks.
func (a *accounts) carryOut(ctx context.Context, plan *store.Plan, stderr io.Writer) error {
	if err := a.begin(ctx, "user import", "", fmt.Sprintf("to add: %d, to change: %d", plan.Added, plan.Changed)); err != nil {
		return err
	}
	p := newProgress(stderr)
	defer p.end()
	var written int64
	err := a.store.Import(ctx, plan, time.Now, func(lot []store.Imported) error {
		for events := range slices.Chunk(imported(lot), recorders) {
			if err := a.record(events...); err != nil {
				return err
			}
		}
		written += int64(len(lot))
		p.show(written)
		return nil
	})
	if err != nil {
		return fmt.Errorf("stopped after %d of %d accounts, run it again: %w", written, plan.Added+plan.Changed, err)
	}
	return nil
}

func printImport(streams cli.Streams, name string, answer importJSON) error {
	if len(answer.Problems) > 0 {
		for _, p := range answer.Problems {
			if p.Column != "" {
				p.Text = p.Column + ": " + p.Text
			}
			fmt.Fprintf(streams.Err, "%s:%d: %s\n", name, p.Line, p.Text)
		}
		_, err := fmt.Fprintf(streams.Err, "%d problem(s); nothing was written\n", len(answer.Problems))
		return err
	}
	figures := fmt.Sprintf("added %d, changed %d, unchanged %d", answer.Added, answer.Changed, answer.Unchanged)
	if answer.DryRun {
		figures = "dry run, nothing was written: would be " + figures
	}
	_, err := fmt.Fprintln(streams.Out, figures)
	return err
}
