// Package keyring keeps the gateway's own keys: those that sign, those of the cookies of logins in progress, and the secret that pairwise subjects
// are made of. All gateways of a database have the same. From those of the cookies, package oidc makes the ones that it seals codes and access
// tokens with, each for its use.
//
// They lie in the database, sealed under keys that do not (package seal); nothing else of a row is believed to say which key it is. A key that
// takes the place of another is published for as long as others may keep the key set before anything is signed by it, and the other one stays
// published until what it signed is over. The package never shows a secret, in an error or otherwise; whoever has a Key can sign and should
// not print its Signer. A Ring is safe for concurrent use; looking up a key waits for nothing, but for the first of RS256.
package keyring
