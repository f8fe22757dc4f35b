package store

import (
	"context"
	"strings"
	"time"
)

// Consent is what a person has agreed to tell a client.
type Consent struct {
	Client string
	Scopes []string
	Agreed time.Time
}

const consentQuery = "SELECT client, scope, agreed_at FROM oidc_consents"

func scanConsent(r row) (Consent, error) {
	var c Consent
	var scope string
	var agreed int64
	err := r.Scan(&c.Client, &scope, &agreed)
	c.Scopes, c.Agreed = strings.Fields(scope), millis(agreed)
	return c, err
}

// ConsentTo returns what a person has agreed to tell a client. ErrNotFound: nothing.
func (s *Store) ConsentTo(ctx context.Context, subject, client string) (Consent, error) {
	c, err := scanConsent(s.db.row(ctx, consentQuery+" WHERE subject = ?1 AND client = ?2", subject, client))
	if err != nil {
		return Consent{}, failed("find consent", err)
	}
	return c, nil
}

// Consents returns all that a person has agreed to, by client.
func (s *Store) Consents(ctx context.Context, subject string) ([]Consent, error) {
	rows, err := s.db.query(ctx, consentQuery+" WHERE subject = ?1 ORDER BY client LIMIT 200", subject)
	if err != nil {
		return nil, failed("list consents", err)
	}
	defer rows.Close()
	var all []Consent
	for rows.Next() {
		c, err := scanConsent(rows)
		if err != nil {
			return nil, failed("list consents", err)
		}
		all = append(all, c)
	}
	return all, failed("list consents", rows.Err())
}

// Agree notes what a person agrees to tell a client, in the place of what it was before.
func (s *Store) Agree(ctx context.Context, subject string, c Consent) error {
	_, err := s.db.exec(ctx, `
		INSERT INTO oidc_consents (subject, client, scope, agreed_at) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (subject, client) DO UPDATE SET scope = ?3, agreed_at = ?4`,
		subject, c.Client, strings.Join(c.Scopes, " "), c.Agreed.UnixMilli())
	return failed("note consent", err)
}

// Withdraw forgets what a person has agreed to tell a client, and ends what the client was given in their sessions. ErrNotFound: they had
// agreed to nothing.
func (s *Store) Withdraw(ctx context.Context, subject, client string, now time.Time) error {
	return failed("withdraw consent", s.atomically(ctx, func(c conn) error {
		if err := c.once(ctx, "DELETE FROM oidc_consents WHERE subject = ?1 AND client = ?2", subject, client); err != nil {
			return err
		}
		rows, err := c.query(ctx, `
			UPDATE oidc_grants SET ended_at = ?3 WHERE client = ?2 AND ended_at IS NULL AND session_id IN (SELECT id FROM sessions WHERE subject = ?1)
			RETURNING id`, subject, client, now.UnixMilli())
		if err != nil {
			return err
		}
		ended, err := texts(rows)
		for _, id := range ended {
			if err == nil {
				err = c.announce(ctx, GrantEnded, id, now)
			}
		}
		return err
	}))
}
