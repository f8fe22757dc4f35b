package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
)

func clientAdd() cli.Command {
	return cli.Command{
		Name:    "client add",
		Args:    "--config FILE --title NAME --redirect-uri URL [flags] ID",
		Summary: "register a service that sends its users here to sign in",
		Help: `
Registers a client of the OpenID provider under its client_id, at once, on each gateway that runs on the same
database. Prints its secret, if it has one, once: of it only a hash is kept. Give it to the service's developers
on a way that nobody else reads.

URLs are exact: https, without wildcards, fragments or another spelling than the plain one. Only with --native
may a redirect URI be http://127.0.0.1/… or http://[::1]/…, of any port, or of a scheme of its own with a dot.

  authgw client add --config /etc/authgw/authgw.yaml --title "Planning des gardes" \
    --redirect-uri https://planning.example.fr/oidc/callback --scope profile --scope email planning`,
		Run: runClientAdd,
	}
}

func runClientAdd(ctx context.Context, fs *flag.FlagSet, args []string, streams cli.Streams) error {
	var f userFlags
	var given settingFlags
	f.declare(fs, `print {"client_id":"…","client_secret":"…"}`)
	given.declare(fs)
	rest, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	c, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	s := client.Settings{ID: rest[0]}
	if err := given.apply(&s); err != nil {
		return err
	}
	checked, err := s.Client(c.Own())
	if err != nil {
		return refusedSettings(err)
	}
	if c.SealKeys == "" {
		return errors.New("seal_keys is missing in the configuration: tokens of clients are kept with its keys. 'authgw config check' says how the file is made")
	}
	if _, ok := configured(c, s.ID); ok {
		return fmt.Errorf("%q is a client of the configuration already; take another id", s.ID)
	}
	a, err := openAccounts(ctx, c, streams.Err)
	if err != nil {
		return err
	}
	defer a.close()
	if err := a.beginClient(ctx, "client add", s.ID); err != nil {
		return err
	}
	v := client.Record{ID: s.ID, Settings: s.String()}
	shown := secretJSON{ID: s.ID}
	if checked.Auth == client.SharedSecret {
		shown.Secret, v.Secret = client.NewSecret()
	}
	err = a.store.AddClient(ctx, v, time.Now())
	if errors.Is(err, store.ErrExists) {
		return fmt.Errorf("there is a client %q already; 'authgw client show' shows it, 'authgw client set' changes it", s.ID)
	}
	if err != nil {
		return err
	}
	return errors.Join(a.changedClient(s.ID, "added"), f.printAdded(streams, shown))
}

// printAdded shows what a developer needs of a client.
func (f *userFlags) printAdded(streams cli.Streams, v secretJSON) error {
	if v.Secret != "" {
		return f.printSecret(streams, v)
	}
	if f.json {
		return printJSON(streams.Out, map[string]string{"client_id": v.ID})
	}
	_, err := fmt.Fprintf(streams.Out, "client_id      %s\n", v.ID)
	return err
}
