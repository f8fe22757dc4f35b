// Package client says what a service is that sends its users to the gateway to sign in: a client of OpenID Connect, with where it may be
// answered, how it proves itself, and what it may learn of whom.
//
// A Client is checked where it is made, from the configuration or from what 'authgw client' keeps in the database; who has one need not look
// again. The package makes no request and knows nothing of HTTP. A Client is not changed once made.
package client

import (
	"crypto"
	"log/slog"
	"net/netip"
	"time"
)

// Auth is how a client proves itself at the token endpoint (OpenID Connect Core 1.0, section 9; RFC 8705, section 2.2).
type Auth string

// The ways there are.
const (
	Public        Auth = "none"                        // it has nothing to prove itself with: PKCE alone ties a code to it
	SharedSecret  Auth = "client_secret"               // client_secret_basic or client_secret_post, as the client prefers
	PrivateKeyJWT Auth = "private_key_jwt"             // RFC 7523, with one of Keys
	TLSClientAuth Auth = "self_signed_tls_client_auth" // a TLS client certificate that is one of Certificates
)

// Subjects is what a client knows a person by (OpenID Connect Core 1.0, section 8).
type Subjects string

// The kinds there are.
const (
	PublicSubject   Subjects = "public"   // the same for all clients, and the one that services behind the proxy get
	PairwiseSubject Subjects = "pairwise" // another one for each Sector
)

// Client is one of them.
type Client struct {
	ID    string // client_id: [A-Za-z0-9._-]{1,64}
	Title string // as people are shown it

	Description string // on the portal; may be empty
	Home        string // URL that the portal's link opens; empty: the portal does not list it

	Auth         Auth
	SecretHashes [][32]byte      // of SharedSecret: token.Secret; two while an old one is still good
	Keys         map[string]Key  // of PrivateKeyJWT, by key id
	Certificates map[string]bool // of TLSClientAuth: SHA-256 of the DER, in lower-case hex

	// Native is a program on a person's own machine (RFC 8252): its redirect URIs may be of http on a loopback address, with any port, or of a
	// scheme of its own with a dot in it.
	Native       bool
	RedirectURIs []string // compared as they are, character for character
	AfterLogout  []string // post_logout_redirect_uris, compared likewise

	Scopes  []string // that it may ask for; openid always
	Refresh bool     // grant refresh_token: only then offline_access says something
	Device  bool     // grant urn:ietf:params:oauth:grant-type:device_code
	Consent bool     // the person is asked before a scope is given for the first time

	Rule    Rule
	MaxAge  time.Duration // how long ago the person may have signed in; zero: any time in the session
	Subject Subjects
	Sector  string // of PairwiseSubject: the host by which subjects differ
	Signing string // ES256 or RS256: of ID tokens and logout tokens

	BackChannel        string         // backchannel_logout_uri; empty: it is not told
	BackChannelPrivate []netip.Prefix // private networks that BackChannel may be in
	FrontChannel       string         // frontchannel_logout_uri; empty: none
	Introspect         bool           // it may ask about tokens that were given to others (a resource server)
}

// Rule says who may sign in to a client: whoever fits all of its lists that are not empty, signed in with at least its level.
type Rule struct {
	Level       string   // hardware or two_factor; empty: any
	Methods     []string // card, otp, qr, passkey, psc
	Professions []string // codes of nomenclature G15
	CardTypes   []string // CPS, CPF, CPE, CPA
	Structures  []string // with the digit of their type in front
}

// Key is a public key of a client.
type Key struct {
	Alg    string // ES256, RS256 or PS256
	Public crypto.PublicKey
}

// LogValue names a client in logs, without what it proves itself by.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.ID) }
