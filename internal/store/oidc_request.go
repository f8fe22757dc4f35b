package store

import (
	"context"
	"time"

	"promess/authgw/internal/token"
)

// Request is what a client of the OpenID provider asks of a person.
type Request struct {
	Client  string
	Browser token.Hash // of the browser that brought it; zero: it was pushed, and nobody has brought it
	Body    []byte     // JSON, of package oidc
	Created time.Time
	Expires time.Time
}

const requestColumns = "client, browser_hash, body, created_at, expires_at"

func scanRequest(r row) (Request, error) {
	var q Request
	var browser []byte
	var body string
	var created, expires int64
	err := r.Scan(&q.Client, &browser, &body, &created, &expires)
	copy(q.Browser[:], browser)
	q.Body, q.Created, q.Expires = []byte(body), millis(created), millis(expires)
	return q, err
}

// AddRequest writes a request under its handle.
func (s *Store) AddRequest(ctx context.Context, handle token.Hash, q Request) error {
	var browser []byte
	if q.Browser != (token.Hash{}) {
		browser = q.Browser[:]
	}
	_, err := s.passing.exec(ctx, "INSERT INTO oidc_requests (hash, "+requestColumns+") VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
		handle[:], q.Client, browser, string(q.Body), q.Created.UnixMilli(), q.Expires.UnixMilli())
	return failed("add request", err)
}

// RequestOfBrowser returns a request that a browser has brought. ErrNotFound: unknown, answered, late, or another browser's.
func (s *Store) RequestOfBrowser(ctx context.Context, handle, browser token.Hash, now time.Time) (Request, error) {
	q, err := scanRequest(s.passing.row(ctx, "SELECT "+requestColumns+" FROM oidc_requests WHERE hash = ?1 AND browser_hash = ?2 AND expires_at > ?3",
		handle[:], browser[:], now.UnixMilli()))
	if err != nil {
		return Request{}, failed("find request", err)
	}
	return q, nil
}

// AnswerRequest uses up a request that a browser has brought, once, whoever asks. ErrNotFound as for RequestOfBrowser.
func (s *Store) AnswerRequest(ctx context.Context, handle, browser token.Hash, now time.Time) error {
	return failed("answer request", s.passing.once(ctx, "DELETE FROM oidc_requests WHERE hash = ?1 AND browser_hash = ?2 AND expires_at > ?3",
		handle[:], browser[:], now.UnixMilli()))
}

// TakePushedRequest uses up a request that a client has pushed, once (RFC 9126, section 4). ErrNotFound: unknown, used, late, or another
// client's, which is gone then too.
func (s *Store) TakePushedRequest(ctx context.Context, handle token.Hash, client string, now time.Time) (Request, error) {
	q, err := scanRequest(s.passing.change(ctx, "DELETE FROM oidc_requests WHERE hash = ?1 AND browser_hash IS NULL RETURNING "+requestColumns, handle[:]))
	if err == nil && (q.Client != client || !now.Before(q.Expires)) {
		err = ErrNotFound
	}
	if err != nil {
		return Request{}, failed("take pushed request", err)
	}
	return q, nil
}
