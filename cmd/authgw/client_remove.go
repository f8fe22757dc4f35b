package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/store"
)

func clientRemove() cli.Command {
	return cli.Command{
		Name:    "client remove",
		Args:    "--config FILE [--json] ID",
		Summary: "refuse a client from now on, and end what it was given",
		Help: `
Forgets the client and what people agreed to tell it, and ends its tokens: at once here, within two seconds on
each gateway that runs. Nothing is asked. Sessions of people go on. A client of the configuration is removed
there.

  authgw client remove --config /etc/authgw/authgw.yaml planning`,
		Run: runClientRemove,
	}
}

func runClientRemove(ctx context.Context, fs *flag.FlagSet, args []string, streams cli.Streams) error {
	var f userFlags
	f.declare(fs, "print one JSON object: client_id, grants_ended")
	rest, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	a, v, err := f.openClient(ctx, rest[0], streams.Err)
	if err != nil {
		return err
	}
	defer a.close()
	if err := a.beginClient(ctx, "client remove", v.ID); err != nil {
		return err
	}
	grants, err := a.store.RemoveClient(ctx, v.ID, time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%q was removed meanwhile", v.ID)
	}
	if err != nil {
		return err
	}
	if err := a.changedClient(v.ID, "removed"); err != nil {
		return err
	}
	if f.json {
		return printJSON(streams.Out, struct {
			ID          string `json:"client_id"`
			GrantsEnded int64  `json:"grants_ended"`
		}{v.ID, grants})
	}
	_, err = fmt.Fprintf(streams.Out, "%s is removed, %d grant(s) ended\n", v.ID, grants)
	return err
}
