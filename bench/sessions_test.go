package bench

import (
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

const (
	cachedSessions = 100_000
	visitors       = 8 // at once
)

// hosts are where each session is used, with what is asked for there and how it is answered to who is signed in.
var hosts = [...]struct {
	name, path string
	status     int
}{
	{"auth.promess.test", "/login", http.StatusSeeOther}, // "you are signed in already"; without a session it would be 200
	{"mail.promess.test", "/", http.StatusNoContent},     // of the service; without a session it would be 401
}

// BenchmarkSessionsResident starts 'authgw serve' on a database with 100,000 sessions, each of another person, and uses every session on two
// hosts, through TLS, so that the gateway reads it and keeps it in memory. Then it removes their tokens from the database behind the back of
// the gateway and uses every hundredth again: only memory can answer. It reports
//
//	before-MB    resident memory (VmRSS) of the process before the first of them, idle
//	resident-MB  the same after the last
//	peak-MB      the most that it ever was (VmHWM)
func BenchmarkSessionsResident(b *testing.B) {
	dir := b.TempDir()
	program := build(b, dir)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer backend.Close()
	w := configure(b, dir, backend.URL)
	for b.Loop() {
		name := filepath.Join(dir, "authgw.db")
		cookies := fillSessions(b, name, cachedSessions)
		process, _, stop := start(b, program, w)
		time.Sleep(2 * time.Second) // idle, and for two looks at what others have changed: before the first nothing is kept
		b.ReportMetric(float64(memory(b, process, "VmRSS"))/1024, "before-MB")
		w.visit(b, cookies, 1)
		b.ReportMetric(float64(memory(b, process, "VmRSS"))/1024, "resident-MB")
		b.ReportMetric(float64(memory(b, process, "VmHWM"))/1024, "peak-MB")
		change(b, name, "DELETE FROM session_tokens")
		w.visit(b, cookies, 100)
		stop()
		change(b, name, "DELETE FROM sessions")
		change(b, name, "DELETE FROM accounts")
	}
	b.ReportMetric(0, "ns/op") // most of it is ours
}

// change runs a statement on the database behind the back of the gateway.
func change(b *testing.B, name, statement string, arguments ...any) {
	b.Helper()
	db, err := sql.Open("sqlite", name+"?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(b.Context(), statement, arguments...); err != nil {
		b.Fatal(err)
	}
}

// fillSessions writes n sessions, of as many persons, and returns the cookies of each, by host.
func fillSessions(b *testing.B, name string, n int) [][len(hosts)]string {
	b.Helper()
	s, err := store.Open(b.Context(), store.Config{Name: name, Log: slog.New(slog.DiscardHandler)}) // makes the schema
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	now := time.Now().UnixMilli()
	const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) "
	change(b, name, `INSERT INTO accounts (subject, id_type, national_id, given_name, family_name, title, profession, address, created_at, updated_at) `+
		numbers+`SELECT 'subject-of-26-letter' || (100000 + i), 'RPPS', 899700000000 + i, 'JEANNE', 'MARTIN', 'Docteur', '10',
		'jeanne.martin' || i || '@example.fr', ?2, ?2 FROM n`, n, now)
	change(b, name, `INSERT INTO account_mailboxes (subject, address, kind, position)
		SELECT subject, 'jeanne.' || national_id || '@mssante.example', 'nominative', 0 FROM accounts`)
	change(b, name, `INSERT INTO account_structures (subject, structure_id, name) SELECT subject, '10B0057881', 'HOPITAL DES 3 DAMES' FROM accounts`)
	change(b, name, `INSERT INTO sessions (id, subject, method, acr, amr, auth_at, fingerprint, card_type, source, browser, created_at, seen_at, expires_at)
		SELECT replace(subject, 'subject', 'session'), subject, 'card', 'eidas3', 'sc pin mfa', ?1, lower(hex(randomblob(32))), 'CPS',
		'192.0.2.1', 'Firefox 153, Windows', ?1, ?1, ?1 + 14400000 FROM accounts`, now)

	db, err := sql.Open("sqlite", name)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Rollback()
	insert, err := tx.PrepareContext(b.Context(), "INSERT INTO session_tokens (hash, session_id, host) VALUES (?1, ?2, ?3)")
	if err != nil {
		b.Fatal(err)
	}
	defer insert.Close()
	cookies := make([][len(hosts)]string, n)
	for i := range cookies {
		for j, host := range hosts {
			cookies[i][j] = token.New()
			hash, _ := token.Of(token.Session, cookies[i][j])
			if _, err := insert.ExecContext(b.Context(), hash[:], fmt.Sprint("session-of-26-letter", 100001+i), host.name); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	return cookies
}

// visit uses every nth session on each host, and fails when one is not signed in.
func (w *installation) visit(b *testing.B, cookies [][len(hosts)]string, every int) {
	b.Helper()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.listen)
		},
		TLSClientConfig: &tls.Config{RootCAs: w.pki.ServerRoots()}, MaxIdleConnsPerHost: visitors,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var g errgroup.Group
	g.SetLimit(visitors)
	for i := 0; i < len(cookies); i += every {
		g.Go(func() error {
			for j, host := range hosts {
				if err := use(b.Context(), client, "https://"+host.name+host.path, cookies[i][j], host.status); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

// use makes one request of a session.
func use(ctx context.Context, client *http.Client, address, cookie string, status int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	r.AddCookie(&http.Cookie{Name: "__Host-authgw", Value: cookie})
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != status {
		return fmt.Errorf("%s answered %d to a session, want %d", address, answer.StatusCode, status)
	}
	return nil
}
