package gateway

import (
	"context"
	"log/slog"

	"promess/authgw/internal/config"
	"promess/authgw/internal/store"
)

// OpenStore opens the database of a configuration, with the password that its file holds now.
func OpenStore(ctx context.Context, c *config.Gateway, log *slog.Logger) (*store.Store, error) {
	password, err := c.DatabasePassword()
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, store.Config{Name: c.Database, Password: password, Log: log})
}
