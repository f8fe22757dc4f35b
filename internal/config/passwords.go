package config

import (
	"promess/authgw/internal/password"
)

// Passwords say what a hash of a password costs, and which passwords may be chosen.
type Passwords struct {
	Memory     int    // KiB of a hash; default 19456
	Passes     int    // over the memory; default 2
	Threads    int    // lanes of a hash; default 1
	Concurrent int    // hashes at once; zero, the default, is half the processors
	MinLength  int    // characters of a new password; default 12
	Breached   string // file of passwords that are refused; empty: none
}

// Params returns the cost of a hash; of the zero value, the default.
func (p Passwords) Params() password.Params {
	if p == (Passwords{}) {
		return password.Default
	}
	return password.Params{Memory: uint32(p.Memory), Time: uint32(p.Passes), Threads: uint8(p.Threads)}
}

func readPasswords(s *section) Passwords {
	p := Passwords{
		Memory:     optional(s, "memory", int(password.Default.Memory), number(1, 1<<20, "a number of KiB")),
		Passes:     optional(s, "passes", int(password.Default.Time), number(1, 100, "a number")),
		Threads:    optional(s, "threads", int(password.Default.Threads), number(1, 100, "a number")),
		Concurrent: optional(s, "concurrent", 0, number(1, 256, "a number")),
		MinLength:  optional(s, "min_length", password.DefaultMinLength, number(password.LeastMinLength, 64, "a number of characters")),
		Breached:   optional(s, "breached", "", breachedList),
	}
	if err := p.Params().Check(); err != nil && !s.silent {
		s.at("memory").report(err)
	}
	s.close()
	return p
}

func number(low, high int, what string) func(value) (int, error) {
	return func(v value) (int, error) { return whole(v, low, high, what) }
}

// maxBreached is beyond any list there is: the one of haveibeenpwned.com has 40 GB.
const maxBreached = 1 << 40

// breachedList reads the path of a list of passwords that are refused, and looks whether it is one.
func breachedList(v value) (string, error) {
	if isOff(v) {
		return "", nil
	}
	name, err := regular("a list of passwords", maxBreached)(v)
	if err != nil {
		return "", err
	}
	list, err := password.OpenBreached(name)
	if err != nil {
		return "", err
	}
	return name, list.Close()
}

func (d *dump) passwords(p Passwords) {
	if p == (Passwords{}) {
		return // of a configuration that was not read
	}
	d.open("passwords")
	d.set("memory", p.Memory)
	d.set("passes", p.Passes)
	d.set("threads", p.Threads)
	if p.Concurrent > 0 {
		d.set("concurrent", p.Concurrent)
	}
	d.set("min_length", p.MinLength)
	d.text("breached", p.Breached)
	d.close()
}
