// Package demo runs every way to sign in, in one process: the gateway, an agent with a card in memory, a hierarchy of authorities shaped
// like IGC-Santé, a mailbox for codes, two sample services behind the proxy, and one that signs in by OpenID Connect.
//
// The parts are those of the programs, wired the same way; only the card, the authorities and the services are made up. All of it is
// in memory, listens on loopback, and is gone when Run returns. Nothing that it makes is worth trusting.
package demo
