package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/client"
	"promess/authgw/internal/config"
	"promess/authgw/internal/token"
)

func clientList() cli.Command {
	return cli.Command{
		Name:    "client list",
		Args:    "--config FILE [--json]",
		Summary: "list the clients of the configuration and of the database",
		Help: `
Prints one client a line: client_id, where it is kept, how it proves itself, title. With --json, one JSON object
a line, with its settings. Secrets are not kept, and not shown.

  authgw client list --config /etc/authgw/authgw.yaml`,
		Run: runClientList,
	}
}

func clientShow() cli.Command {
	return cli.Command{
		Name:    "client show",
		Args:    "--config FILE [--json] ID",
		Summary: "show the settings of a client",
		Help: `
Prints the settings of a client that were given; others have their defaults. Its secret is not kept, and not shown.

  authgw client show --config /etc/authgw/authgw.yaml planning`,
		Run: runClientShow,
	}
}

// clientJSON is a client for programs: what is secret of it is not there.
type clientJSON struct {
	client.Settings
	Source   string     `json:"source"`                     // configuration, database
	OldUntil *time.Time `json:"old_secret_until,omitempty"` // when a secret was rotated
	Created  *time.Time `json:"created_at,omitempty"`
	Updated  *time.Time `json:"updated_at,omitempty"`
	Problem  string     `json:"problem,omitempty"` // why gateways refuse it
}

func ofConfiguration(c config.Client) clientJSON {
	return clientJSON{Settings: c.Settings, Source: "configuration"}
}

func ofDatabase(v client.Record, c *config.Gateway, now time.Time) clientJSON {
	s, err := client.ParseSettings(v.Settings)
	if err == nil {
		_, err = v.Client(now, c.Own())
	}
	if _, ok := configured(c, v.ID); ok && err == nil {
		err = fmt.Errorf("the configuration has a client of this id, which is the one that counts")
	}
	s.ID = v.ID
	shown := clientJSON{Settings: s, Source: "database", Created: &v.Created, Updated: &v.Updated}
	if (v.OldSecret != token.Hash{}) && now.Before(v.OldUntil) {
		shown.OldUntil = &v.OldUntil
	}
	if err != nil {
		shown.Problem = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return shown
}

// listClients returns all clients, those of the configuration first.
func (a *accounts) listClients(ctx context.Context) ([]clientJSON, error) {
	var all []clientJSON
	for _, c := range a.config.Clients {
		all = append(all, ofConfiguration(c))
	}
	kept, err := a.store.Clients(ctx)
	for _, v := range kept {
		all = append(all, ofDatabase(v, a.config, time.Now()))
	}
	return all, err
}

func runClientList(ctx context.Context, fs *flag.FlagSet, args []string, streams cli.Streams) error {
	var f userFlags
	f.declare(fs, "print one JSON object a line")
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	a, err := f.open(ctx, streams.Err)
	if err != nil {
		return err
	}
	defer a.close()
	all, err := a.listClients(ctx)
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(streams.Out, 0, 0, 2, ' ', 0)
	for _, c := range all {
		if f.json {
			if err := printJSON(streams.Out, c); err != nil {
				return err
			}
			continue
		}
		note := ""
		if c.Problem != "" {
			note = "\tREFUSED: " + visible(c.Problem)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s%s\n", visible(c.ID), c.Source, authOf(c.Settings), visible(c.Title), note)
	}
	return out.Flush()
}

func authOf(s client.Settings) string {
	if s.Auth == "" {
		return string(client.SharedSecret)
	}
	return visible(s.Auth)
}

func runClientShow(ctx context.Context, fs *flag.FlagSet, args []string, streams cli.Streams) error {
	var f userFlags
	f.declare(fs, "print one JSON object")
	rest, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	a, err := f.open(ctx, streams.Err)
	if err != nil {
		return err
	}
	defer a.close()
	all, err := a.listClients(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		switch {
		case c.ID != rest[0]:
		case f.json:
			return printJSON(streams.Out, c)
		default:
			return printClient(streams.Out, c)
		}
	}
	return fmt.Errorf("no client has the id %q; 'authgw client list' shows those that there are", rest[0])
}

// printClient prints the settings that were given, a line each, in the order of their JSON.
func printClient(w io.Writer, c clientJSON) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	d := json.NewDecoder(strings.NewReader(string(data)))
	if _, err := d.Token(); err != nil { // the brace
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		fmt.Fprintf(out, "%s\t%s\n", key, visible(text))
	}
	return out.Flush()
}
