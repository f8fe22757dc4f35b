package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Account is a person, however they sign in.
type Account struct {
	Subject    string // ours, opaque, stable
	IDType     string // RPPS, ADELI …
	NationalID string // unique within its type, compared exactly
	GivenName  string
	FamilyName string
	Title      string
	Profession string
	Mailbox    string
	Disabled   bool
}

// LogValue keeps the person out of logs: only the opaque subject is written.
func (a Account) LogValue() slog.Value { return slog.StringValue(a.Subject) }

const accountColumns = "subject, id_type, national_id, given_name, family_name, title, profession, mailbox, state = 'disabled'"

func (a *Account) fields() []any {
	return []any{&a.Subject, &a.IDType, &a.NationalID, &a.GivenName, &a.FamilyName, &a.Title, &a.Profession, &a.Mailbox, &a.Disabled}
}

// AccountByNationalID returns the account of an identifier, or ErrNotFound.
func (s *Store) AccountByNationalID(ctx context.Context, idType, id string) (Account, error) {
	var a Account
	err := s.db.QueryRowContext(ctx, "SELECT "+accountColumns+" FROM accounts WHERE id_type = ? AND national_id = ?", idType, id).Scan(a.fields()...)
	if err != nil {
		return Account{}, notFound("find account", err)
	}
	return a, nil
}

// OpenAccount returns the account of a's identifier with the names that a carries, as the newest card has them; it makes the
// account, with a's subject, when there is none. Its subject, mailbox and state are never changed by it.
func (s *Store) OpenAccount(ctx context.Context, a Account, now time.Time) (Account, error) {
	if a.IDType == "" || a.NationalID == "" || a.Subject == "" {
		return Account{}, errors.New("open account: no identifier or no subject")
	}
	_, err := s.db.ExecContext(ctx, `
		INSERT INTO accounts (subject, id_type, national_id, given_name, family_name, title, profession, created_at, updated_at)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
		ON CONFLICT (id_type, national_id) DO UPDATE
		SET given_name = ?4, family_name = ?5, title = ?6, profession = ?7, updated_at = ?8
		WHERE given_name <> ?4 OR family_name <> ?5 OR title <> ?6 OR profession <> ?7`,
		a.Subject, a.IDType, a.NationalID, a.GivenName, a.FamilyName, a.Title, a.Profession, now.UnixMilli())
	if err != nil {
		return Account{}, fmt.Errorf("open account: %w", err)
	}
	return s.AccountByNationalID(ctx, a.IDType, a.NationalID)
}

// DisableAccount refuses the account from now on and ends its sessions.
func (s *Store) DisableAccount(ctx context.Context, subject string, now time.Time) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("disable account: %w", err)
	}
	defer tx.Rollback() // after Commit it does nothing
	r, err := tx.ExecContext(ctx, "UPDATE accounts SET state = 'disabled', updated_at = ? WHERE subject = ?", now.UnixMilli(), subject)
	if err != nil {
		return fmt.Errorf("disable account: %w", err)
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("disable account: %w", errors.Join(ErrNotFound, err))
	}
	if _, err := tx.ExecContext(ctx, "UPDATE sessions SET ended_at = ?, end_reason = 'disabled' WHERE subject = ? AND ended_at IS NULL",
		now.UnixMilli(), subject); err != nil {
		return fmt.Errorf("disable account: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("disable account: %w", err)
	}
	return nil
}
