package store

import (
	"context"
	"crypto/sha256"
	"time"
)

// UseAssertion notes the id (jti) of a proof that a client made with its key, until it expires. ErrNotFound: it was used before.
func (s *Store) UseAssertion(ctx context.Context, client, jti string, expires time.Time) error {
	hash := sha256.Sum256([]byte(jti))
	return failed("use assertion", s.db.once(ctx, `
		INSERT INTO oidc_assertions (client, jti_hash, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT (client, jti_hash) DO NOTHING`,
		client, hash[:], expires.UnixMilli()))
}
