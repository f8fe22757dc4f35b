// Package pgtest runs a real PostgreSQL for tests: a private cluster in a directory of its own, on a socket of its own.
//
// It owns the server and its files, and leaves nothing behind, even when the test process is killed. It never touches a server of the
// system. PostgreSQL refuses to run as root, so for root it runs as the user postgres, or nobody.
//
// Concurrency: Database may be called at once by many tests; the methods that stop, freeze and start a Server are for one
// goroutine.
package pgtest
