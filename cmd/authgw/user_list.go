package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/store"
)

func userList() cli.Command {
	return cli.Command{
		Name:    "user list",
		Args:    "--config FILE [--state active|disabled] [--search TEXT] [--json]",
		Summary: "list the accounts",
		Help: `
Prints one account a line, by family name: subject, state, identifier, name, first mailbox. With --json, one
JSON object a line. The gateway may run meanwhile.

  authgw user list --config /etc/authgw/authgw.yaml --search martin
  authgw user list --config /etc/authgw/authgw.yaml --state disabled --json | jq -r .subject`,
		Run: runUserList,
	}
}

func runUserList(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	var f userFlags
	var chosen store.Filter
	f.declare(fs, "print one JSON object a line")
	fs.StringVar(&chosen.State, "state", "", "only accounts in this `STATE`: active or disabled")
	fs.StringVar(&chosen.Search, "search", "", "only accounts with this `TEXT` in a name, an identifier or an address, whatever the case")
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	if chosen.State != "" && chosen.State != store.StateActive && chosen.State != store.StateDisabled {
		return cli.Usagef("--state %q is neither active nor disabled", chosen.State)
	}
	a, err := f.open(ctx, io.Err)
	if err != nil {
		return err
	}
	defer a.close()
	out := bufio.NewWriterSize(io.Out, 1<<16)
	err = a.store.EachAccount(ctx, chosen, func(v store.Account) error {
		if f.json {
			return printJSON(out, toJSON(v))
		}
		_, err := fmt.Fprintf(out, "%s  %-8s  %-6s %-20s  %s %s  %s\n", v.Subject, v.State(), v.IDType, visible(v.NationalID),
			visible(v.GivenName), visible(v.FamilyName), visible(v.Mailbox))
		return err
	})
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	return err
}
