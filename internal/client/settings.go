package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Settings are a client as it is written: in the configuration, and as JSON in the database. Nothing in them is secret.
type Settings struct {
	ID    string `json:"id"`
	Title string `json:"title"`

	Description string `json:"description,omitempty"` // on the portal
	Home        string `json:"home,omitempty"`        // URL that the portal's link opens; without it the portal does not list it

	Native bool `json:"native,omitempty"`

	RedirectURIs           []string `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`

	Scopes     []string `json:"scopes,omitempty"` // openid need not be said
	Refresh    bool     `json:"refresh,omitempty"`
	Device     bool     `json:"device,omitempty"`
	Consent    bool     `json:"consent,omitempty"`
	Introspect bool     `json:"introspect,omitempty"`

	Allow   Allow  `json:"allow,omitzero"`
	MaxAge  string `json:"max_age,omitempty"` // such as 30m
	Subject string `json:"subject,omitempty"` // public (default) or pairwise
	Sector  string `json:"sector,omitempty"`  // default: the one host of the redirect URIs
	Signing string `json:"signing,omitempty"` // ES256 (default) or RS256

	BackchannelLogoutURI  string   `json:"backchannel_logout_uri,omitempty"`
	BackchannelNetworks   []string `json:"backchannel_networks,omitempty"`
	FrontchannelLogoutURI string   `json:"frontchannel_logout_uri,omitempty"`

	Auth         string   `json:"auth,omitempty"`         // default client_secret
	Certificates []string `json:"certificates,omitempty"` // SHA-256 of the DER in hexadecimal, with colons or without

	JWKS json.RawMessage `json:"jwks,omitempty"` // RFC 7517, section 5: public keys alone. In the configuration it is a file of its own
}

// Allow is Rule as it is written.
type Allow struct {
	Level       string   `json:"level,omitempty"`
	Methods     []string `json:"methods,omitempty"`
	Professions []string `json:"professions,omitempty"`
	CardTypes   []string `json:"card_types,omitempty"`
	Structures  []string `json:"structures,omitempty"`
}

// Problem is one thing that is wrong with settings.
type Problem struct {
	Key  string // as it is written, such as redirect_uris[1] or allow.level
	Text string // what was expected, what was given, and what to do
}

// Refused is the error for settings that are wrong: all that is wrong with them.
type Refused struct {
	Problems []Problem
}

func (r *Refused) Error() string {
	lines := make([]string, 0, len(r.Problems))
	for _, p := range r.Problems {
		lines = append(lines, p.Key+": "+p.Text)
	}
	return strings.Join(lines, "\n")
}

// maxSettings bounds the JSON of one client, its keys included.
const maxSettings = 256 << 10

// ParseSettings reads the JSON of settings, strictly. What it means, Client says.
func ParseSettings(text string) (Settings, error) {
	if len(text) > maxSettings {
		return Settings{}, fmt.Errorf("parse settings: more than %d bytes", maxSettings)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var s Settings
	if err := d.Decode(&s); err != nil {
		return Settings{}, fmt.Errorf("parse settings: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Settings{}, errors.New("parse settings: something follows them")
	}
	return s, nil
}

// String returns the settings as JSON, which ParseSettings reads.
func (s Settings) String() string {
	var b strings.Builder
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	if err := out.Encode(s); err != nil {
		return "" // a JWKS that is no JSON, which Client refuses; ParseSettings refuses this
	}
	return strings.TrimSuffix(b.String(), "\n")
}
