package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/config"
	"promess/authgw/internal/gateway"
)

func serve() cli.Command {
	return cli.Command{
		Name:    "serve",
		Args:    "--config FILE",
		Summary: "run the gateway",
		Help: `
Serves the login pages, the card hosts and the services of the configuration, until SIGTERM or Ctrl-C;
requests then have 10 seconds to finish. Logs go to standard error, audit events to the database and to
standard output, one JSON object a line. /healthz, /readyz and /metrics are on the address "admin" of the configuration.

The configuration, certificates, authorities and revocation lists are read again when their files change,
and at SIGHUP, without dropping a connection. What cannot be used is refused, loudly, and all of what was
in force stays. listen, public_port, admin, hosts, database (and its password), audit and log take
a restart.

  authgw config check /etc/authgw/authgw.yaml
  authgw serve --config /etc/authgw/authgw.yaml`,
		Run: runServe,
	}
}

func runServe(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	file := fs.String("config", "", "configuration `FILE` (YAML)")
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	if *file == "" {
		return cli.Usagef("--config FILE is missing")
	}
	pace(ctx)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from the start: by itself it would end the process
	defer signal.Stop(hangup)
	load := func() (*config.Gateway, gateway.Materials, error) { return gateway.Load(*file) }
	c, materials, err := load()
	if err != nil {
		return err
	}
	log := c.Log.Logger(io.Err)
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	gc := gateway.Config{
		Gateway: c, Materials: materials, Log: log, Version: version(), Load: load, Hangup: hangup, HashCommand: []string{self, hashName},
	}
	if c.Audit.Stdout {
		gc.Audit = io.Out
	}
	g, err := gateway.New(ctx, gc)
	if err != nil {
		return err
	}
	listener, admin, err := listen(ctx, c)
	if err != nil {
		g.Close()
		return err
	}
	log.Info("authgw serves", "listen", listener.Addr().String(), "origin", c.Origin(c.Hosts.Auth), "services", len(c.Services))
	if err := g.Run(ctx, listener, admin); err != nil {
		return err
	}
	log.Info("authgw has stopped")
	return nil
}

// version is that of the program, as it was built.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

// listen takes the addresses of the configuration; admin is nil when it is off.
func listen(ctx context.Context, c *config.Gateway) (listener, admin net.Listener, err error) {
	if listener, err = cli.Listen(ctx, c.Listen.String(), `"listen" in the configuration`); err != nil {
		return nil, nil, err
	}
	if !c.Admin.IsValid() {
		return listener, nil, nil
	}
	if admin, err = cli.Listen(ctx, c.Admin.String(), `"admin" in the configuration`); err != nil {
		listener.Close()
		return nil, nil, fmt.Errorf("admin listener: %w", err)
	}
	return listener, admin, nil
}
