package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/config"
	"promess/authgw/internal/gateway"
)

func configCheck() cli.Command {
	return cli.Command{
		Name:    "config check",
		Args:    "FILE",
		Summary: "say whether a configuration file is right, and what follows from it",
		Help: `
Reads FILE as 'authgw serve' does, with the certificates, keys and revocation lists that it names, and
starts nothing.
Prints every effective setting, those that FILE leaves out included, and exits 0. Otherwise prints
everything that is wrong, one line each (file:line: key: what was expected, what was given), and exits 1.
No secret is printed.

  authgw config check /etc/authgw/authgw.yaml`,
		Run: runConfigCheck,
	}
}

func runConfigCheck(_ context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	rest, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	g, err := config.LoadGateway(rest[0])
	var refused *config.Refused
	if errors.As(err, &refused) {
		fmt.Fprintln(io.Err, refused.Lines())
		return cli.ErrNegative
	}
	if err != nil {
		return err
	}
	if err := loads(g); err != nil {
		fmt.Fprintf(io.Err, "%s: %v\n", rest[0], err)
		return cli.ErrNegative
	}
	fmt.Fprintf(io.Out, "%s: ok\n\n%s", rest[0], g.Dump())
	return nil
}

// loads says what a start would refuse of the files that a configuration names: what is in them, beyond what stands in the
// configuration itself.
func loads(g *config.Gateway) error {
	m, err := gateway.LoadMaterials(g)
	if err != nil {
		return err
	}
	_, err = m.CRLs()
	return err
}
