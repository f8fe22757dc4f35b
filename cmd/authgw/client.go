package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/cli"
	"promess/authgw/internal/client"
	"promess/authgw/internal/config"
)

// change is what one flag says of a client's settings.
type change func(*client.Settings) error

// settingFlags are the flags of settings that were given, in their order.
type settingFlags struct {
	changes []change
	keys    []string // of the settings, for the audit trail
}

func (f *settingFlags) note(key string, c change) {
	f.changes = append(f.changes, c)
	if len(f.keys) == 0 || f.keys[len(f.keys)-1] != key {
		f.keys = append(f.keys, key)
	}
}

// apply changes settings as the flags say.
func (f *settingFlags) apply(s *client.Settings) error {
	for _, c := range f.changes {
		if err := c(s); err != nil {
			return err
		}
	}
	return nil
}

func (f *settingFlags) text(fs *flag.FlagSet, name, usage string, at func(*client.Settings) *string) {
	fs.Func(name, usage, func(text string) error {
		f.note(keyOfSetting(name), func(s *client.Settings) error { *at(s) = text; return nil })
		return nil
	})
}

func (f *settingFlags) boolean(fs *flag.FlagSet, name, usage string, at func(*client.Settings) *bool) {
	fs.BoolFunc(name, usage, func(text string) error {
		b, err := strconv.ParseBool(text)
		f.note(keyOfSetting(name), func(s *client.Settings) error { *at(s) = b; return nil })
		return err
	})
}

// list is a flag that may be repeated: together they are the list. An empty one empties it.
func (f *settingFlags) list(fs *flag.FlagSet, name, usage string, at func(*client.Settings) *[]string) {
	first := true
	fs.Func(name, usage+"; may be repeated", func(text string) error {
		begin := first
		first = false
		f.note(keyOfSetting(name), func(s *client.Settings) error {
			if begin {
				*at(s) = nil
			}
			if text != "" {
				*at(s) = append(*at(s), text)
			}
			return nil
		})
		return nil
	})
}

// plurals are the settings whose flag gives one of several.
var plurals = []string{
	"redirect-uri", "post-logout-redirect-uri", "scope", "allow-method", "allow-profession", "allow-card-type", "allow-structure", "backchannel-network", "certificate",
}

// keyOfSetting is the key of the setting that a flag gives: redirect_uris for redirect-uri, allow.level for allow-level.
func keyOfSetting(name string) string {
	for _, one := range plurals {
		if one == name {
			name += "s"
		}
	}
	if rest, ok := strings.CutPrefix(name, "allow-"); ok {
		return "allow." + strings.ReplaceAll(rest, "-", "_")
	}
	return strings.ReplaceAll(name, "-", "_")
}

// flagOfSetting is the flag of a key that package client names: --redirect-uri for redirect_uris[1].
func flagOfSetting(key string) string {
	key, _, _ = strings.Cut(key, "[")
	name := strings.NewReplacer("_", "-", ".", "-").Replace(key)
	for _, one := range plurals {
		if one+"s" == name {
			name = one
		}
	}
	return "--" + name
}

func (f *settingFlags) declare(fs *flag.FlagSet) {
	f.text(fs, "title", "its `NAME`, as people are shown it", func(s *client.Settings) *string { return &s.Title })
	f.text(fs, "description", "`TEXT` beside the name on the portal", func(s *client.Settings) *string { return &s.Description })
	f.text(fs, "home", "`URL` that the portal's link opens (default: the portal does not list it)", func(s *client.Settings) *string { return &s.Home })
	f.boolean(fs, "native", "a program on people's own machines", func(s *client.Settings) *bool { return &s.Native })
	f.list(fs, "redirect-uri", "`URL` that a person comes back to from the login", func(s *client.Settings) *[]string { return &s.RedirectURIs })
	f.list(fs, "post-logout-redirect-uri", "`URL` that a person comes back to from the logout", func(s *client.Settings) *[]string { return &s.PostLogoutRedirectURIs })
	f.list(fs, "scope", "`SCOPE` that it may ask for: "+strings.Join(client.ScopesKnown(), ", "), func(s *client.Settings) *[]string { return &s.Scopes })
	f.boolean(fs, "refresh", "it may go on without the person's browser, while the session lasts", func(s *client.Settings) *bool { return &s.Refresh })
	f.boolean(fs, "device", "it has no browser: the person signs in elsewhere, with a code", func(s *client.Settings) *bool { return &s.Device })
	f.boolean(fs, "consent", "ask the person before a scope is given for the first time", func(s *client.Settings) *bool { return &s.Consent })
	f.boolean(fs, "introspect", "it may ask about tokens that other clients were given", func(s *client.Settings) *bool { return &s.Introspect })
	f.text(fs, "allow-level", "only for logins of this `LEVEL`: hardware or two_factor", func(s *client.Settings) *string { return &s.Allow.Level })
	f.list(fs, "allow-method", "only for logins by this `METHOD`: card, otp, qr, passkey or psc", func(s *client.Settings) *[]string { return &s.Allow.Methods })
	f.list(fs, "allow-profession", "only for this `CODE` of nomenclature G15: 10 for doctors", func(s *client.Settings) *[]string { return &s.Allow.Professions })
	f.list(fs, "allow-card-type", "only for this `TYPE` of card: CPS, CPF, CPE or CPA", func(s *client.Settings) *[]string { return &s.Allow.CardTypes })
	f.list(fs, "allow-structure", "only for people of the structure with this `ID`", func(s *client.Settings) *[]string { return &s.Allow.Structures })
	f.text(fs, "max-age", "how long ago the person may have signed in, a `DURATION` such as 15m", func(s *client.Settings) *string { return &s.MaxAge })
	f.text(fs, "subject", "`KIND` of what it knows a person by: public (default) or pairwise", func(s *client.Settings) *string { return &s.Subject })
	f.text(fs, "sector", "`HOST` by which pairwise subjects differ (default: that of the redirect URIs)", func(s *client.Settings) *string { return &s.Sector })
	f.text(fs, "signing", "`ALG` of its ID tokens: ES256 (default) or RS256", func(s *client.Settings) *string { return &s.Signing })
	f.text(fs, "backchannel-logout-uri", "`URL` where it is told that a session is over", func(s *client.Settings) *string { return &s.BackchannelLogoutURI })
	f.list(fs, "backchannel-network", "private `NETWORK` that this URL may be in", func(s *client.Settings) *[]string { return &s.BackchannelNetworks })
	f.text(fs, "frontchannel-logout-uri", "`URL` of a page that the person's browser loads at the logout", func(s *client.Settings) *string { return &s.FrontchannelLogoutURI })
	f.text(fs, "auth", "`HOW` it proves who it is: client_secret (default), private_key_jwt, self_signed_tls_client_auth or none", func(s *client.Settings) *string { return &s.Auth })
	f.list(fs, "certificate", "SHA-256 `FINGERPRINT` of its TLS client certificate", func(s *client.Settings) *[]string { return &s.Certificates })
	fs.Func("jwks", "`FILE` with the JWK set of its public keys", func(name string) error {
		f.note("jwks", func(s *client.Settings) (err error) {
			s.JWKS = nil
			if name != "" {
				s.JWKS, err = config.ReadJWKS(name)
			}
			return err
		})
		return nil
	})
}

// refusedSettings says of each problem which flag it is about.
func refusedSettings(err error) error {
	var refused *client.Refused
	if !errors.As(err, &refused) {
		return err
	}
	lines := make([]string, 0, len(refused.Problems))
	for _, p := range refused.Problems {
		at := flagOfSetting(p.Key)
		if p.Key == "id" {
			at = "ID"
		}
		lines = append(lines, at+": "+p.Text)
	}
	return cli.Usagef("%s", strings.Join(lines, "\n"))
}

// configured returns a client of the configuration.
func configured(c *config.Gateway, id string) (config.Client, bool) {
	for _, one := range c.Clients {
		if one.ID == id {
			return one, true
		}
	}
	return config.Client{}, false
}

// openClient opens the database for a change of a client that is there.
func (f *userFlags) openClient(ctx context.Context, id string, stderr io.Writer) (*accounts, client.Record, error) {
	a, err := f.open(ctx, stderr)
	if err != nil {
		return nil, client.Record{}, err
	}
	if _, ok := configured(a.config, id); ok {
		a.close()
		return nil, client.Record{}, fmt.Errorf("%q is a client of the configuration; change it there (%s)", id, a.config.File)
	}
	v, err := a.store.Client(ctx, id)
	if errors.Is(err, client.ErrUnknown) {
		err = fmt.Errorf("no client has the id %q; 'authgw client list' shows those that there are", id)
	}
	if err != nil {
		a.close()
		return nil, client.Record{}, err
	}
	return a, v, nil
}

// beginClient writes down who is about to do what to a client.
func (a *accounts) beginClient(ctx context.Context, action, id string) error {
	return a.beginOn(ctx, action, audit.Event{Client: id})
}

// changedClient writes down what was done to a client.
func (a *accounts) changedClient(id, detail string) error {
	return a.record(audit.Event{Kind: audit.ClientChanged, Client: id, Detail: detail})
}

// secretJSON is a client with a secret that is shown this once.
type secretJSON struct {
	ID       string     `json:"client_id"`
	Secret   string     `json:"client_secret"`
	OldUntil *time.Time `json:"old_secret_until,omitempty"`
}

// printSecret shows a secret, the only time.
func (f *userFlags) printSecret(streams cli.Streams, v secretJSON) error {
	if f.json {
		return printJSON(streams.Out, v)
	}
	text := fmt.Sprintf("client_id      %s\nclient_secret  %s\n", v.ID, v.Secret)
	if v.OldUntil != nil {
		text += fmt.Sprintf("the old secret is good until %s\n", v.OldUntil.Format(time.RFC3339))
	}
	_, err := io.WriteString(streams.Out, text)
	return err
}
