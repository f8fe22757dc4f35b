package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// The issue asks for 1 ms at most for a session that is not in memory, among 1,000,000 in SQLite.
func BenchmarkSessionMiss(b *testing.B) {
	const sessions, sample = 1_000_000, 100_000
	name := sqliteFile.fresh(b)
	s := open(b, name)
	fill(b, name, sessions)
	tokens := someTokens(b, name, sample)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.SessionByToken(b.Context(), "auth.example.fr", tokens[rand.IntN(len(tokens))]); err != nil {
			b.Fatal(err)
		}
	}
}

// fill writes sessions of a tenth as many accounts, in no order of their keys, as they would be.
func fill(b *testing.B, name string, n int) {
	b.Helper()
	const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) "
	sqliteFile.exec(b, name, `INSERT INTO accounts (subject, id_type, national_id, given_name, family_name, title, profession, address, created_at, updated_at) `+
		numbers+`SELECT 'subject-of-26-letters-' || i, 'RPPS', 899700000000 + i, 'JEANNE', 'MARTIN', 'Docteur', '10', 'jeanne.martin@example.fr', ?2, ?2 FROM n`,
		n/10, noon.UnixMilli())
	sqliteFile.exec(b, name, `INSERT INTO account_mailboxes (subject, address, kind, position)
		SELECT subject, 'jeanne.' || national_id || '@mssante.example', 'nominative', 0 FROM accounts`)
	sqliteFile.exec(b, name, `INSERT INTO sessions (id, subject, method, acr, amr, auth_at, fingerprint, card_type, source, browser, watch_hash, created_at, seen_at, expires_at) `+
		numbers+`SELECT lower(hex(randomblob(13))), 'subject-of-26-letters-' || (i % (?1 / 10) + 1), 'card', 'eidas3', 'sc pin mfa', ?2, lower(hex(randomblob(32))), 'CPS',
		'192.0.2.1', 'Firefox, Windows', randomblob(32), ?2, ?2, ?2 + 14400000 FROM n`, n, noon.UnixMilli())
	sqliteFile.exec(b, name, `INSERT INTO session_tokens (hash, session_id, host) SELECT randomblob(32), id, 'auth.example.fr' FROM sessions`)
	sqliteFile.exec(b, name, `INSERT INTO session_tokens (hash, session_id, host) SELECT randomblob(32), id, 'mail.example.fr' FROM sessions`)
}

func someTokens(b *testing.B, name string, n int) []token.Hash {
	b.Helper()
	rows, err := sqliteFile.behind(b, name).QueryContext(b.Context(), "SELECT hash FROM session_tokens WHERE host = 'auth.example.fr' AND random() % 9 = 0 LIMIT ?1", n)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	var all []token.Hash
	for rows.Next() {
		var hash []byte
		if err := rows.Scan(&hash); err != nil {
			b.Fatal(err)
		}
		all = append(all, token.Hash(hash))
	}
	if err := rows.Err(); err != nil || len(all) != n {
		b.Fatalf("%d tokens, %v, want %d", len(all), err, n)
	}
	return all
}

// What a whole login writes, by 64 persons at once, to a PostgreSQL that waits for the disk: the issue asks for 500 a second, or what the
// disk allows.
func BenchmarkLogins(b *testing.B) {
	server := pgtest.Start(b, pgtest.Config{Durable: true})
	s := open(b, server.Database(b))
	trail, err := audit.Open(b.Context(), audit.Config{Store: s, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer trail.Close()
	const persons = 1000
	for i := range persons {
		if _, err := s.OpenAccount(b.Context(), person(i), noon); err != nil {
			b.Fatal(err)
		}
	}
	var logins atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32) // of each processor
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := int(logins.Add(1))
			if err := logIn(b.Context(), s, trail, person(n%persons), fmt.Sprint("s-", n)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
}

func person(i int) store.Account {
	a := jeanne()
	a.Subject, a.NationalID = fmt.Sprint("u-", i), fmt.Sprint(899700000000+i)
	return a
}

// logIn does to the store what a login with a card does, the entry to a first service included.
func logIn(ctx context.Context, s *store.Store, trail *audit.Log, who store.Account, id string) error {
	var h [7]token.Hash
	for i := range h {
		h[i], _ = token.Of(token.Session, token.New())
	}
	handle, browser, code, watch, tok, entry, state := h[0], h[1], h[2], h[3], h[4], h[5], h[6]
	now, later := time.Now(), time.Now().Add(time.Minute)
	if err := s.CreateLogin(ctx, handle, store.Login{Browser: browser, Method: "card", Expires: later}, now); err != nil {
		return err
	}
	if _, err := s.FetchLogin(ctx, handle, "card", now); err != nil {
		return err
	}
	if err := s.SettleLogin(ctx, handle, "card", code, watch, []byte(strings.Repeat("x", 400)), now, later); err != nil {
		return err
	}
	if _, err := s.UseLogin(ctx, code, "card", now); err != nil {
		return err
	}
	a, err := s.OpenAccount(ctx, who, now)
	if err != nil {
		return err
	}
	v := store.Session{ID: id, Account: a, Method: "card", ACR: "eidas3", AMR: []string{"sc", "pin", "mfa"}, AuthTime: now,
		Fingerprint: strings.Repeat("ab", 32), CardType: "CPS", Source: "192.0.2.1", Browser: "Firefox, Windows", CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(4 * time.Hour)}
	if err := s.CreateSession(ctx, v, "auth.example.fr", tok, watch); err != nil {
		return err
	}
	for _, kind := range []audit.Kind{audit.LoginSucceeded, audit.SessionOpened} {
		e := audit.Event{Kind: kind, Outcome: "success", Subject: a.Subject, Session: id, Method: v.Method, ACR: v.ACR, Source: v.Source, Fingerprint: v.Fingerprint}
		if err := trail.Record(e); err != nil {
			return err
		}
	}
	if err := s.AddEntry(ctx, id, "mail.example.fr", entry, state, later); err != nil {
		return err
	}
	tok[0]++
	_, err = s.UseEntry(ctx, "mail.example.fr", entry, state, tok, now)
	return err
}
