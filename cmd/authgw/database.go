package main

import (
	"context"
	"io"
	"log/slog"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/cli"
	"promess/authgw/internal/config"
	"promess/authgw/internal/gateway"
	"promess/authgw/internal/store"
)

// database is that of a gateway, which may run meanwhile, with the configuration that names it.
type database struct {
	config *config.Gateway
	store  *store.Store
	log    *slog.Logger // warnings and errors alone: the answer of a command is on standard output
}

// loadConfig reads the configuration that --config names.
func loadConfig(file string) (*config.Gateway, error) {
	if file == "" {
		return nil, cli.Usagef("--config FILE is missing")
	}
	return config.LoadGateway(file)
}

// openDatabase opens the database of a configuration. It makes a SQLite file that is not there: accounts may be there before the gateway
// runs for the first time.
func openDatabase(ctx context.Context, c *config.Gateway, stderr io.Writer) (*database, error) {
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := gateway.OpenStore(ctx, c, log)
	if err != nil {
		return nil, err
	}
	return &database{c, s, log}, nil
}

// openAudit opens the trail of the database, to write to. Close must follow.
func (d *database) openAudit(ctx context.Context) (*audit.Log, error) {
	return gateway.OpenAudit(ctx, d.config, audit.Config{Store: d.store, Log: d.log})
}
