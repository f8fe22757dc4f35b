package config

import "time"

// Agent is the configuration of cardagent: checked, complete, and not changed after LoadAgent has returned it.
type Agent struct {
	File string

	Port     uint16    // on 127.0.0.1; default 24780; 0 takes a free one
	Module   string    // path of the PKCS#11 module; default: the first of the known places that exists
	Gateways []Trusted // at least one, names all different
	PIN      PIN
	NoReset  bool          // leave the card as it is after a login: another program may then use it without a PIN
	Timeout  time.Duration // of one operation of the card, the person's time at the PIN not counted; default 15 s
	Log      Log
}

// Trusted is a gateway that this agent signs for. Any other is refused.
type Trusted struct {
	Name   string // the name in the start request
	Title  string // shown to the person beside the origin; default: the origin's host
	Origin string // https://host[:port] of the auth host
	Card   string // https://host[:port] of the card host
	CA     string // PEM file of the authorities of the gateway's server certificate; empty: those of the system
	Dial   string // host:port to connect to instead of the name's address; for tests and split networks
}

// PIN says where the PIN is asked.
type PIN struct {
	Dialog  string        // auto (default), pinentry, zenity, kdialog, or page
	Program string        // path of the dialog program; default: found in PATH
	Timeout time.Duration // the person's time; default 60 s, at most 110 s
}
