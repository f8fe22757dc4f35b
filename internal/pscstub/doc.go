// Package pscstub stands in for Pro Santé Connect: an OpenID provider in memory that speaks as PSC does, for the demonstration and for tests.
//
// It owns its persons, who do not exist, and its sessions. It is honest: what goes wrong at PSC is played by internal/psctest in front of
// it. It proves nothing about anybody, because who comes chooses who they are, and so nothing of the gateway may import it. Its
// addresses, its discovery document, its tokens and its userinfo are shaped as PSC's; its page is its own and says what it is.
// A Provider is safe for concurrent use.
package pscstub
