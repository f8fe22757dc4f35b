//go:build unix

package pgtest

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Freeze stops every process of the server where it is, until Thaw, or the end of the test. What a client sees is what a network shows
// that loses everything: connections stay, new ones are taken by the kernel, and nobody says a word.
func (s *Server) Freeze(tb testing.TB) {
	tb.Helper()
	tb.Cleanup(s.Thaw)
	if err := s.freeze(); err != nil {
		s.Thaw()
		tb.Fatal(err)
	}
}

func (s *Server) freeze() error {
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	c, err := pgx.Connect(ctx, s.URL(Superuser))
	if err != nil {
		return fmt.Errorf("pgtest: connect: %w", err)
	}
	defer c.Close(ctx)
	if err := s.stop(s.process.Pid); err != nil { // first, so that it begets nobody who is not stopped then
		return err
	}
	rows, err := c.Query(ctx, "SELECT pid FROM pg_stat_activity") // of all: who serves a client, and who works for the server
	if err != nil {
		return fmt.Errorf("pgtest: list processes: %w", err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return fmt.Errorf("pgtest: list processes: %w", err)
	}
	own := int(c.PgConn().PID())
	c.Close(ctx) // it ends by itself
	for _, pid := range pids {
		if pid == own {
			continue
		}
		if err := s.stop(pid); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) stop(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && err != syscall.ESRCH { // who has ended meanwhile says nothing either
		return fmt.Errorf("pgtest: stop process %d: %w", pid, err)
	}
	s.frozen = append(s.frozen, pid)
	return nil
}

// Thaw lets the server go on where it was. It does nothing when the server runs.
func (s *Server) Thaw() {
	for _, pid := range s.frozen {
		_ = syscall.Kill(pid, syscall.SIGCONT) // fails when it was killed
	}
	s.frozen = nil
}
