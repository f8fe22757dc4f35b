package store

import "context"

// MoveGrants gives what clients were given in a session to another open session of the same account, which takes its place: a login at a
// higher level ends nothing that was given before. Of sessions that are not so, nothing is moved.
func (s *Store) MoveGrants(ctx context.Context, from, to string) error {
	_, err := s.db.exec(ctx, `
		UPDATE oidc_grants SET session_id = ?2 WHERE session_id = ?1 AND ended_at IS NULL AND EXISTS (
			SELECT 1 FROM sessions o JOIN sessions n ON n.subject = o.subject WHERE o.id = ?1 AND n.id = ?2 AND o.ended_at IS NULL AND n.ended_at IS NULL)`,
		from, to)
	return failed("move grants", err)
}
