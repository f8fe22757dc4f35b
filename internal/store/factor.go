package store

import (
	"context"
	"database/sql"
	"time"
)

// FactorKind is a kind of means of proof.
type FactorKind string

// The kinds. A person has one password and one set of recovery codes at most.
const (
	Password FactorKind = "password"
	TOTP     FactorKind = "totp"
	Recovery FactorKind = "recovery"
	Passkey  FactorKind = "passkey" // of a workstation, or a key that one carries
	Phone    FactorKind = "phone"   // a passkey that approves what a workstation shows
)

// Factor is a means of proof that a person has enrolled. It has no LogValue: it is not to be logged.
type Factor struct {
	ID       string // names it in addresses and in the audit; opens nothing
	Subject  string
	Kind     FactorKind
	Label    string // as the person calls it; may be empty
	ACR      string // of a login with it, at most
	Secret   string // a password's hash, a sealed seed, a public key with what belongs to it; empty for recovery codes
	External string // of a passkey, its credential id in base64url; empty: none
	Counter  int64  // of a seed the last time step that was used, of a passkey its last count
	Created  time.Time
	Used     time.Time // zero: never
}

const factorColumns = "id, subject, kind, label, acr, secret, external_id, counter, created_at, used_at"

func scanFactor(r row) (Factor, error) {
	var f Factor
	var created int64
	var used sql.NullInt64
	err := r.Scan(&f.ID, &f.Subject, &f.Kind, &f.Label, &f.ACR, &f.Secret, &f.External, &f.Counter, &created, &used)
	f.Created, f.Used = millis(created), moment(used)
	return f, err
}

// AddFactor adds a factor, with the keyed hashes of its codes when it is a set of recovery codes. A password or a set of recovery codes
// takes the place of the one before. Most is how many of the kind a person may have: false, and nothing is changed, when there are so many.
func (s *Store) AddFactor(ctx context.Context, f Factor, codes []string, most int) (bool, error) {
	var added bool
	err := s.atomically(ctx, func(in conn) (err error) {
		added, err = in.addFactor(ctx, f, codes, most)
		return err
	})
	return added, failed("add factor", err)
}

// ReplaceFactor is AddFactor for a set of recovery codes in the place of the one that has the id instead; empty: of none. False, and nothing is
// changed, when that is not what there is: of two sets at once, on whatever gateway, the first stays.
func (s *Store) ReplaceFactor(ctx context.Context, f Factor, codes []string, instead string) (bool, error) {
	var added bool
	err := s.atomically(ctx, func(in conn) error {
		added = false
		var n int
		if err := in.row(ctx, "SELECT 1 FROM accounts WHERE subject = ?1"+in.engine.lock, f.Subject).Scan(&n); err != nil {
			return err
		}
		var has string
		err := in.row(ctx, "SELECT coalesce(max(id), '') FROM factors WHERE subject = ?1 AND kind = ?2", f.Subject, f.Kind).Scan(&has)
		if err != nil || has != instead {
			return err
		}
		added, err = in.addFactor(ctx, f, codes, 1)
		return err
	})
	return added, failed("replace factor", err)
}

func (c conn) addFactor(ctx context.Context, f Factor, codes []string, most int) (bool, error) {
	// The account's row is held, so that two at once are counted one after the other.
	var n int
	if err := c.row(ctx, "SELECT 1 FROM accounts WHERE subject = ?1"+c.engine.lock, f.Subject).Scan(&n); err != nil {
		return false, err
	}
	if f.Kind == Password || f.Kind == Recovery {
		if _, err := c.exec(ctx, "DELETE FROM factors WHERE subject = ?1 AND kind = ?2", f.Subject, f.Kind); err != nil {
			return false, err
		}
	}
	if err := c.row(ctx, "SELECT count(*) FROM factors WHERE subject = ?1 AND kind = ?2", f.Subject, f.Kind).Scan(&n); err != nil || n >= most {
		return false, err
	}
	_, err := c.exec(ctx, "INSERT INTO factors ("+factorColumns+") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL)",
		f.ID, f.Subject, f.Kind, f.Label, f.ACR, f.Secret, f.External, f.Counter, f.Created.UnixMilli())
	if err != nil {
		return false, err
	}
	for _, mac := range codes {
		if _, err := c.exec(ctx, "INSERT INTO recovery_codes (factor_id, code_mac) VALUES (?1, ?2)", f.ID, mac); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Factors returns the factors of an account, the oldest first.
func (s *Store) Factors(ctx context.Context, subject string) ([]Factor, error) {
	rows, err := s.passing.query(ctx, "SELECT "+factorColumns+" FROM factors WHERE subject = ?1 ORDER BY created_at, id", subject)
	if err != nil {
		return nil, failed("list factors", err)
	}
	defer rows.Close()
	var all []Factor
	for rows.Next() {
		f, err := scanFactor(rows)
		if err != nil {
			return nil, failed("list factors", err)
		}
		all = append(all, f)
	}
	return all, failed("list factors", rows.Err())
}

// FactorByExternal returns the passkey, of a phone or not, of a credential id, or ErrNotFound.
func (s *Store) FactorByExternal(ctx context.Context, external string) (Factor, error) {
	f, err := scanFactor(s.passing.row(ctx, "SELECT "+factorColumns+" FROM factors WHERE external_id = ?1 AND external_id <> ''", external))
	return f, failed("find factor", err)
}

// AdvanceFactor notes the use of a factor whose counter rises with each: once for each count, so that what proved it proves nothing again
// (D3). ErrNotFound: the count was used or passed before, or the factor was removed.
func (s *Store) AdvanceFactor(ctx context.Context, id string, counter int64, now time.Time) error {
	return failed("use factor", s.db.advanceFactor(ctx, FactorStep{id, counter}, now))
}

// FactorStep is a count of a factor whose counter rises with each use.
type FactorStep struct {
	ID      string // of the factor
	Counter int64
}

func (c conn) advanceFactor(ctx context.Context, step FactorStep, now time.Time) error {
	return c.once(ctx, "UPDATE factors SET counter = ?2, used_at = ?3 WHERE id = ?1 AND counter < ?2", step.ID, step.Counter, now.UnixMilli())
}

// UseFactor notes the use of a factor, and what its secret and its count are from now on, if the secret is the one that f says. ErrNotFound:
// it was changed or removed meanwhile.
func (s *Store) UseFactor(ctx context.Context, f Factor, secret string, now time.Time) error {
	return failed("use factor", s.db.useFactor(ctx, f, secret, now))
}

func (c conn) useFactor(ctx context.Context, f Factor, secret string, now time.Time) error {
	return c.once(ctx, "UPDATE factors SET secret = ?2, counter = ?3, used_at = ?4 WHERE id = ?1 AND secret = ?5",
		f.ID, secret, f.Counter, now.UnixMilli(), f.Secret)
}

// ResealFactor writes a factor's secret in another form, and nothing else. ErrNotFound: it was changed or removed meanwhile.
func (s *Store) ResealFactor(ctx context.Context, f Factor, secret string) error {
	return failed("seal factor anew", s.db.once(ctx, "UPDATE factors SET secret = ?2 WHERE id = ?1 AND secret = ?3", f.ID, secret, f.Secret))
}

// RemoveFactor removes a factor of an account. ErrNotFound: it has none such.
func (s *Store) RemoveFactor(ctx context.Context, subject, id string) error {
	return failed("remove factor", s.db.once(ctx, "DELETE FROM factors WHERE subject = ?1 AND id = ?2", subject, id))
}

// RemoveFactors removes the factors of a kind of an account, and says how many.
func (s *Store) RemoveFactors(ctx context.Context, subject string, kind FactorKind) (int, error) {
	n, err := s.db.changed(ctx, "DELETE FROM factors WHERE subject = ?1 AND kind = ?2", subject, kind)
	return int(n), failed("remove factors", err)
}

// RecoveryCodes returns the keyed hashes of the codes of a factor that are not used.
func (s *Store) RecoveryCodes(ctx context.Context, id string) ([]string, error) {
	rows, err := s.passing.query(ctx, "SELECT code_mac FROM recovery_codes WHERE factor_id = ?1 AND used_at IS NULL ORDER BY code_mac", id)
	if err != nil {
		return nil, failed("list recovery codes", err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var mac string
		if err := rows.Scan(&mac); err != nil {
			return nil, failed("list recovery codes", err)
		}
		all = append(all, mac)
	}
	return all, failed("list recovery codes", rows.Err())
}

// UseRecoveryCode uses a recovery code up, once, and says how many are left. ErrNotFound: it was used, or the factor was removed.
func (s *Store) UseRecoveryCode(ctx context.Context, id, mac string, now time.Time) (left int, err error) {
	err = s.atomically(ctx, func(in conn) error {
		if err := in.once(ctx, "UPDATE factors SET used_at = ?2 WHERE id = ?1", id, now.UnixMilli()); err != nil {
			return err
		}
		err := in.once(ctx, "UPDATE recovery_codes SET used_at = ?3 WHERE factor_id = ?1 AND code_mac = ?2 AND used_at IS NULL", id, mac, now.UnixMilli())
		if err != nil {
			return err
		}
		return in.row(ctx, "SELECT count(*) FROM recovery_codes WHERE factor_id = ?1 AND used_at IS NULL", id).Scan(&left)
	})
	return left, failed("use recovery code", err)
}
