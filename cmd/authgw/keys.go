package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/config"
	"promess/authgw/internal/keyring"
)

func keysList() cli.Command {
	return cli.Command{
		Name:    "keys list",
		Args:    "--config FILE [--json]",
		Summary: "list the gateway's own keys",
		Help: `
Prints one key a line: what it is for, its state, its id, since when it is used and until when it counts. ES256
and RS256 sign (the id is the kid of /oauth/keys), cookie is for logins in progress, pairwise for the subjects by
which single clients know a person. States: next (published, and waits to be used), current, previous (published
for what it made), expired (or withdrawn). With --json, one JSON object a line. Nothing secret is shown.

  authgw keys list --config /etc/authgw/authgw.yaml`,
		Run: runKeysList,
	}
}

// keyJSON is a key, for programs.
type keyJSON struct {
	ID      string     `json:"id"`
	Alg     string     `json:"alg"`
	State   string     `json:"state"`
	Created time.Time  `json:"created_at"`
	Active  time.Time  `json:"active_at"`
	Expires *time.Time `json:"expires_at"` // null: no other has taken its place
}

func runKeysList(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	var f userFlags
	f.declare(fs, "print one JSON object a line: id, alg, state, created_at, active_at, expires_at")
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	a, err := f.open(ctx, io.Err)
	if err != nil {
		return err
	}
	defer a.close()
	all, err := keyring.List(ctx, a.store, time.Now())
	if err != nil {
		return err
	}
	if len(all) == 0 && !f.json {
		fmt.Fprintln(io.Err, "no keys: they are made when a gateway first starts with seal_keys; without it they are in memory, and new at each start")
	}
	for _, k := range all {
		line := keyJSON{ID: k.ID, Alg: k.Alg, State: k.State, Created: second(k.Created), Active: second(k.Active)}
		until := ""
		if !k.Expires.IsZero() {
			end := second(k.Expires)
			line.Expires = &end
			until = "  until " + end.Format(time.RFC3339)
		}
		if f.json {
			err = printJSON(io.Out, line)
		} else {
			_, err = fmt.Fprintf(io.Out, "%-8s  %-8s  %-43s  since %s%s\n", k.Alg, k.State, visible(k.ID), line.Active.Format(time.RFC3339), until)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func keysRotate() cli.Command {
	return cli.Command{
		Name:    "keys rotate",
		Args:    "--config FILE [--alg ES256|RS256|cookie|all] [--now] [--json]",
		Summary: "replace keys that sign, and keys of cookies",
		Help: `
Makes a new key of each kind, which gateways that run take within two seconds. The key that signs is published at
once and used after ten minutes, when every service has had time to fetch it; the one before stays published for
a day after that, until nothing that it signed is good any more. No gateway is restarted, and nobody notices.

With --now, for a key that somebody else may have: the new one is used at once, and all others of its kind are
withdrawn. What they signed is refused from then on (services may keep the key set for five minutes), and logins in
progress begin anew with a new cookie key. Open sessions go on.

  authgw keys rotate --config /etc/authgw/authgw.yaml
  authgw keys rotate --config /etc/authgw/authgw.yaml --alg ES256 --now`,
		Run: runKeysRotate,
	}
}

// rotatedJSON is a rotation, for programs.
type rotatedJSON struct {
	Alg     string    `json:"alg"`
	ID      string    `json:"id"`
	Active  time.Time `json:"active_at"`
	Old     string    `json:"replaces"`
	Expires time.Time `json:"replaced_expires_at"`
}

func runKeysRotate(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	var f userFlags
	f.declare(fs, "print one JSON object for each new key: alg, id, active_at, replaces, replaced_expires_at")
	chosen := fs.String("alg", "all", "`KIND` of keys: ES256, RS256, cookie or all")
	atOnce := fs.Bool("now", false, "use the new keys at once and withdraw all others: somebody else may have them")
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	if !slices.Contains([]string{keyring.ES256, keyring.RS256, keyring.Cookie, "all"}, *chosen) {
		return cli.Usagef("--alg %q: ES256, RS256, cookie or all expected", *chosen)
	}
	a, err := f.open(ctx, io.Err)
	if err != nil {
		return err
	}
	defer a.close()
	ring, err := a.openRing(ctx)
	if err != nil {
		return err
	}
	algs := []string{*chosen}
	if *chosen == "all" {
		if algs, err = a.rotatable(ctx); err != nil {
			return err
		}
	}
	for _, alg := range algs {
		done, err := a.rotate(ctx, ring, alg, *atOnce)
		if err != nil {
			return err
		}
		if f.json {
			err = printJSON(io.Out, rotatedJSON{done.Alg, done.ID, second(done.Active), done.Old, second(done.Expires)})
		} else {
			_, err = fmt.Fprintf(io.Out, "%s: %s is used from %s; %s is good until %s\n", done.Alg, done.ID, second(done.Active).Format(time.RFC3339),
				visible(done.Old), second(done.Expires).Format(time.RFC3339))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openRing opens the keys of the database with the key file of the configuration.
func (a *accounts) openRing(ctx context.Context) (*keyring.Ring, error) {
	if a.config.SealKeys == "" {
		return nil, errors.New("the configuration names no seal_keys: without it keys are in memory, and new at each start of the gateway")
	}
	keys, err := config.LoadSealKeys(a.config.SealKeys)
	if err != nil {
		return nil, err
	}
	return keyring.Open(ctx, a.store, keys, time.Now)
}

// rotatable are the kinds of keys that there are and that can be replaced: there is none of RS256 before a client needs it.
func (a *accounts) rotatable(ctx context.Context) ([]string, error) {
	all, err := keyring.List(ctx, a.store, time.Now())
	if err != nil {
		return nil, err
	}
	var algs []string
	for _, alg := range []string{keyring.ES256, keyring.RS256, keyring.Cookie} {
		if slices.ContainsFunc(all, func(k keyring.Info) bool { return k.Alg == alg && k.State != keyring.Expired }) {
			algs = append(algs, alg)
		}
	}
	return algs, nil
}

// rotate replaces the key of an alg, and writes down before who does.
func (a *accounts) rotate(ctx context.Context, ring *keyring.Ring, alg string, atOnce bool) (keyring.Rotation, error) {
	detail := alg
	if atOnce {
		detail += ", now"
	}
	if err := a.begin(ctx, "keys rotate", "", detail); err != nil {
		return keyring.Rotation{}, err
	}
	return ring.Rotate(ctx, alg, atOnce)
}

// second is a time as commands show it.
func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
