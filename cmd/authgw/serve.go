package main

import (
	"context"
	"flag"
	"fmt"
	"net"

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
standard output, one JSON object a line. /healthz and /readyz are on the address "admin" of the configuration.

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
	c, err := config.LoadGateway(*file)
	if err != nil {
		return err
	}
	materials, err := gateway.LoadMaterials(c)
	if err != nil {
		return err
	}
	log := c.Log.Logger(io.Err)
	gc := gateway.Config{Gateway: c, Materials: materials, Log: log}
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
