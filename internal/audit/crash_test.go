package audit_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
)

// crashing is set in the process that TestCrash kills: the name of its database.
const crashing = "AUTHGW_TEST_AUDIT_DATABASE"

func TestMain(m *testing.M) {
	if name := os.Getenv(crashing); name != "" {
		if err := recordUntilKilled(name); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// recordUntilKilled prints the subject of each event that Record said is kept.
func recordUntilKilled(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // if nobody does
	defer cancel()
	s, err := store.Open(ctx, store.Config{Name: name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	l, err := audit.Open(ctx, audit.Config{Store: s, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := 0; ctx.Err() == nil; j++ {
				subject := fmt.Sprintf("u-%d-%d-%d", os.Getpid(), i, j)
				if err := l.Record(audit.Event{Kind: audit.LoginSucceeded, Subject: subject}); err != nil {
					fmt.Println("error", err)
					return
				}
				os.Stdout.WriteString(subject + "\n") // one write: whole lines
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// A gateway that is killed in the middle leaves no half record, and loses none that it said was kept.
func TestCrash(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		said := map[string]bool{}
		for range 2 {
			for subject := range strings.Lines(untilKilled(t, w.name, 300)) {
				said[strings.TrimSpace(subject)] = true
			}
			report, found := w.verify("")
			if len(found) != 0 {
				t.Fatalf("verify = %+v, %q", report, found)
			}
		}
		for _, r := range w.records() {
			delete(said, r.Subject)
		}
		if len(said) != 0 {
			t.Errorf("lost, though they were said to be kept: %v", said)
		}
		w.fill(1) // and it goes on
		if _, found := w.verify(""); len(found) != 0 {
			t.Errorf("findings = %q", found)
		}
	})
}

// untilKilled runs recordUntilKilled, kills it after some lines, and returns all that it had printed.
func untilKilled(t *testing.T, name string, lines int) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), crashing+"="+name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	n := 0
	for s := bufio.NewScanner(out); s.Scan(); n++ {
		if strings.HasPrefix(s.Text(), "error") {
			t.Error(s.Text())
		}
		all.WriteString(s.Text() + "\n")
		if n == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	cmd.Wait() // says that it was killed
	if n < lines {
		t.Errorf("%d lines before the end, want %d", n, lines)
	}
	return all.String()
}
