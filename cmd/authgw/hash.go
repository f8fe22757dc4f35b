package main

import (
	"context"
	"flag"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/password"
)

// hashName is the command with which authgw starts itself to compute the hashes of passwords.
const hashName = "password-hashes"

func hashCommand() cli.Command {
	return cli.Command{
		Name: hashName, Summary: "compute the hashes of passwords for authgw serve", Hidden: true,
		Help: "Started by authgw serve itself; speaks on standard input and output.",
		Run: func(_ context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
			if _, err := cli.Parse(fs, args, 0, 0); err != nil {
				return err
			}
			return password.Serve(io.In, io.Out)
		},
	}
}
