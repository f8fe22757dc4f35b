// Package conformance plays the OpenID Foundation's conformance suite, whose own programs need a network, as tests of ours: each is named after
// the suite's module and wants what that wants (gitlab.com/openid/conformance-suite, as of August 2026).
//
// The relying party is written here with net/http, and verifies what it is given with go-jose alone: nothing of the provider, nor of the
// library that it is built on, judges its answers. It differs from the suite's in one thing that is so everywhere: it sends PKCE. Where we
// deliberately do something else than a module wants, its test wants what we do, and docs/divergences.md has the module in a row.
package conformance
