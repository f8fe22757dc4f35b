package main

import (
	"context"
	"flag"
	"log/slog"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/demo"
)

func demoCommand() cli.Command {
	return cli.Command{
		Name:    "demo",
		Args:    "[--listen 127.0.0.1:8443] [--pss] [--debug]",
		Summary: "show every way to sign in with everything embedded: gateway, agent, card, mailbox, services",
		Help: `
Runs the gateway, an agent with a card in memory, made-up authorities shaped like IGC-Santé, a mailbox for
codes, a camera for the window that plays the phone, a stand-in for Pro Santé Connect and three sample services
on this machine alone. Prints the address, the PIN and what to do. Nothing is installed or written; Ctrl-C ends
all of it.

  authgw demo
  authgw demo --pss      # a card that signs PSS, as a CPS4: TLS 1.3`,
		Run: runDemo,
	}
}

func runDemo(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	c := demo.Config{In: io.In, Out: io.Out}
	fs.StringVar(&c.Listen, "listen", "127.0.0.1:8443", "loopback `address` of the gateway; another port is used when it is taken")
	fs.BoolVar(&c.PSS, "pss", false, "give the card PSS signatures, as a CPS4 has, instead of PKCS #1 v1.5 only")
	debug := fs.Bool("debug", false, "log everything to standard error")
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	level := slog.LevelError
	if *debug {
		level = slog.LevelDebug
	}
	c.Log = slog.New(slog.NewTextHandler(io.Err, &slog.HandlerOptions{Level: level}))
	return demo.Run(ctx, c)
}
