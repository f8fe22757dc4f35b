// Package psctest runs stand-ins for Pro Santé Connect for tests: one of our own, Go (internal/pscstub), and NPM, oidc-provider, which is certified
// and written by others. Both are driven by one interface, Kind, so that each scenario runs on both.
//
// Both are honest. What goes wrong is played by a front of ours, the same before both: it speaks TLS, it passes everything on unless a
// Quirk says otherwise, and what it changes in a token it signs anew with the provider's own key. So everything that oidc-provider would
// never do by itself (an alg of none, a token for somebody else, a new key in the middle, a 502) is the front's, and an ID token without a
// quirk is signed by oidc-provider. The script in npm/ says what it adds to oidc-provider.
//
// It never runs outside of tests. A Server may be used by many goroutines at once; Set and Change count for requests that come after.
package psctest
