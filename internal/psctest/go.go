package psctest

import (
	"net/http"
	"testing"

	"promess/authgw/internal/pscstub"
)

// Go is our own stand-in, that of the demonstration.
type Go struct{}

var _ Kind = Go{}

// String returns its name.
func (Go) String() string { return "pscstub" }

// Start runs it.
func (g Go) Start(tb testing.TB, c Config) *Server {
	tb.Helper()
	return start(tb, c, g)
}

func (Go) start(tb testing.TB, c pscstub.Config) http.Handler {
	tb.Helper()
	p, err := pscstub.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}
