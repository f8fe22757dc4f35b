// Package pcsctest runs a PC/SC daemon for one test: pcscd with two virtual readers (vpcd), on a socket of its own.
//
// It owns the daemon and its files, and leaves nothing behind. It never touches the daemon of the system. It works as root and as a
// normal user. vpcd listens on all interfaces, which it cannot be told not to; so this is for tests only.
//
// Concurrency: one daemon per process at a time, because libpcsclite reads the socket's name once per process; the name is
// therefore the same for every daemon of a process. The methods of Daemon are for the test's goroutine.
package pcsctest
