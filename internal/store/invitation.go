package store

import (
	"context"
	"time"

	"promess/authgw/internal/token"
)

// Invitation lets a person who has no other way in choose a password: with a link that was sent to their address, and a code that they
// were told. Neither is here. It has no LogValue: it is not to be logged.
type Invitation struct {
	Subject string
	Token   token.Hash // of the link
	Address string     // where the link went
	MAC     string     // of the code, with a key that is not in the database
	Tries   int        // left
	Expires time.Time
}

const invitationColumns = "subject, token_hash, address, code_mac, tries, expires_at"

func scanInvitation(r row) (Invitation, error) {
	var i Invitation
	var hash []byte
	var expires int64
	err := r.Scan(&i.Subject, &hash, &i.Address, &i.MAC, &i.Tries, &expires)
	copy(i.Token[:], hash)
	i.Expires = millis(expires)
	return i, err
}

// AddInvitation puts an invitation in the place of the account's one before, whatever became of that.
func (s *Store) AddInvitation(ctx context.Context, i Invitation) error {
	_, err := s.db.exec(ctx, `
		INSERT INTO invitations (`+invitationColumns+`) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT (subject) DO UPDATE SET token_hash = ?2, address = ?3, code_mac = ?4, tries = ?5, expires_at = ?6`,
		i.Subject, i.Token[:], i.Address, i.MAC, i.Tries, i.Expires.UnixMilli())
	return failed("add invitation", err)
}

// InvitationByToken returns the invitation of a link. ErrNotFound: there is none, or it was used, replaced, burnt, or is late.
func (s *Store) InvitationByToken(ctx context.Context, tok token.Hash, now time.Time) (Invitation, error) {
	i, err := scanInvitation(s.db.row(ctx, "SELECT "+invitationColumns+" FROM invitations WHERE token_hash = ?1 AND tries > 0 AND expires_at > ?2",
		tok[:], now.UnixMilli()))
	return i, failed("find invitation", err)
}

// TryInvitation takes one of the tries of an invitation, whatever is tried, and returns the code to compare with, with what is left. Tries
// at once take one each. ErrNotFound: as InvitationByToken says.
func (s *Store) TryInvitation(ctx context.Context, tok token.Hash, now time.Time) (Invitation, error) {
	i, err := scanInvitation(s.db.change(ctx, `
		UPDATE invitations SET tries = tries - 1 WHERE token_hash = ?1 AND tries > 0 AND expires_at > ?2 RETURNING `+invitationColumns,
		tok[:], now.UnixMilli()))
	return i, failed("try invitation", err)
}

// GiveInvitationTryBack undoes one TryInvitation whose code was right.
func (s *Store) GiveInvitationTryBack(ctx context.Context, i Invitation) error {
	return failed("give try of invitation back", s.db.once(ctx, "UPDATE invitations SET tries = tries + 1 WHERE token_hash = ?1", i.Token[:]))
}

// UseInvitation uses an invitation up and records the password that was chosen, in the place of the one before: both, once, or neither.
// The caller has tried it, and the code was right. ErrNotFound: it was used or replaced meanwhile or is late, or the account is no longer
// active or has another address than the link went to.
func (s *Store) UseInvitation(ctx context.Context, i Invitation, f Factor, now time.Time) error {
	return failed("use invitation", s.atomically(ctx, func(in conn) error {
		if f.Subject != i.Subject || f.Kind != Password {
			return ErrNotFound
		}
		var n int // the account's row is held: who disables it comes before or after
		err := in.row(ctx, "SELECT 1 FROM accounts WHERE subject = ?1 AND state = 'active' AND address = ?2"+in.engine.lock, i.Subject, i.Address).Scan(&n)
		if err != nil {
			return err
		}
		if err := in.once(ctx, "DELETE FROM invitations WHERE token_hash = ?1 AND expires_at > ?2", i.Token[:], now.UnixMilli()); err != nil {
			return err
		}
		_, err = in.addFactor(ctx, f, nil, 1)
		return err
	}))
}

// DropInvitation makes an account's invitation worthless. ErrNotFound: it has none.
func (s *Store) DropInvitation(ctx context.Context, subject string) error {
	return failed("drop invitation", s.db.once(ctx, "DELETE FROM invitations WHERE subject = ?1", subject))
}
