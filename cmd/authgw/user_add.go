package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"promess/authgw/internal/accountfile"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/cli"
	"promess/authgw/internal/store"
)

func userAdd() cli.Command {
	return cli.Command{
		Name:    "user add",
		Args:    "--config FILE --id-type TYPE --national-id ID --given-name NAME --family-name NAME [flags]",
		Summary: "make an account before the person's first login",
		Help: `
Makes an account and prints its subject, the name by which services and the audit trail know it. The person is
recognised by the type and the national identifier of their card, which has the digit of its type in front, and
by nothing else. Names and profession become those of the card at the next login. The first mailbox is the one
that services are told. The gateway may run meanwhile.

  authgw user add --config /etc/authgw/authgw.yaml --id-type RPPS --national-id 810000000001 \
    --given-name Jeanne --family-name Martin --mailbox jeanne.martin@hopital.mssante.fr \
    --structure "10B0057881=HOPITAL DES 3 DAMES"`,
		Run: runUserAdd,
	}
}

// flagOf is the flag that gives a column of an entry.
func flagOf(column string) string {
	switch column {
	case "mailboxes":
		return "--mailbox"
	case "organisational_mailboxes":
		return "--organisational-mailbox"
	case "structures":
		return "--structure"
	case "login_name":
		return "--login"
	}
	return "--" + strings.ReplaceAll(column, "_", "-")
}

func declareEntry(fs *flag.FlagSet, e *store.Entry) {
	fs.StringVar(&e.IDType, "id-type", "RPPS", "`TYPE` of the national identifier: RPPS, ADELI, FINESS …")
	fs.StringVar(&e.NationalID, "national-id", "", "national identifier `ID`, with the digit of its type in front")
	fs.StringVar(&e.GivenName, "given-name", "", "given `NAME`")
	fs.StringVar(&e.FamilyName, "family-name", "", "family `NAME`")
	fs.StringVar(&e.Profession, "profession", "", "profession, a `CODE` of nomenclature G15: 10 for doctors")
	fs.StringVar(&e.LoginName, "login", "", "login `NAME`, which the person may type in place of the identifier when signing in with a password")
	fs.StringVar(&e.Address, "address", "", "ordinary e-mail `ADDRESS`, for codes and notices, which you answer for; otherwise the person is asked")
	fs.Func("mailbox", "`ADDRESS` of a mailbox of this person alone; may be repeated", appendTo(&e.Nominative))
	fs.Func("organisational-mailbox", "`ADDRESS` of a mailbox that several persons may open; may be repeated", appendTo(&e.Organisational))
	fs.Func("structure", "where the person works, `ID=NAME`; may be repeated", func(text string) error {
		s, err := accountfile.ParseStructure(text)
		e.Structures = append(e.Structures, s)
		return err
	})
}

func runUserAdd(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	var f userFlags
	var e store.Entry
	f.declare(fs, `print {"subject":"…"}`)
	declareEntry(fs, &e)
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	c, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	var wrong []string
	for _, p := range accountfile.Check(e, c.Mail.ProtectedDomains) {
		wrong = append(wrong, flagOf(p.Column)+": "+p.Text)
	}
	if len(wrong) > 0 {
		return cli.Usagef("%s", strings.Join(wrong, "\n"))
	}
	a, err := openAccounts(ctx, c, io.Err)
	if err != nil {
		return err
	}
	defer a.close()
	plan, err := a.store.PlanImport(ctx, []store.Entry{e})
	switch {
	case err != nil:
		return err
	case plan.Added == 0:
		return errors.New("there is an account with this national identifier already; 'authgw user show' shows it, 'authgw user import' changes it")
	case len(plan.Conflicts) > 0:
		return fmt.Errorf("%s: %s", flagOf(plan.Conflicts[0].Column), plan.Conflicts[0].Text)
	}
	if err := a.begin(ctx, "user add", "", ""); err != nil {
		return err
	}
	var subject string
	err = a.store.Import(ctx, plan, time.Now, func(lot []store.Imported) error {
		for _, one := range lot {
			subject = one.Subject
		}
		return a.record(imported(lot)...)
	})
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(io.Out, map[string]string{"subject": subject})
	}
	_, err = fmt.Fprintln(io.Out, subject)
	return err
}

// imported are the events of accounts that were written.
func imported(lot []store.Imported) []audit.Event {
	all := make([]audit.Event, 0, len(lot))
	for _, one := range lot {
		kind := audit.AccountChanged
		switch {
		case one.Added:
			kind = audit.AccountCreated
		case one.State == store.StateDisabled:
			kind = audit.AccountDisabled
		case one.State == store.StateActive:
			kind = audit.AccountEnabled
		}
		all = append(all, audit.Event{Kind: kind, Subject: one.Subject})
		all = append(all, ended(one.Subject, "disabled", one.Ended)...)
	}
	return all
}
