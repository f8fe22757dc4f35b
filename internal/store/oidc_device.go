package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"promess/authgw/internal/token"
)

// DeviceState is what has become of a device that asked for somebody to sign in elsewhere (RFC 8628).
type DeviceState string

// The states.
const (
	DeviceWaiting  DeviceState = "waiting"
	DeviceApproved DeviceState = "approved"
	DeviceRefused  DeviceState = "refused"
	DeviceUsed     DeviceState = "used" // it has its tokens
)

// Device is a device that waits for somebody to sign in elsewhere.
type Device struct {
	Hash     token.Hash // of its device code
	UserCode string     // keyed hash of what a person types
	Client   string
	Scopes   []string
	Source   string // network address that it asked from
	Created  time.Time
	Expires  time.Time
	Polled   time.Time     // when it last asked what has become of it, or was given its tokens; zero: never
	Pause    time.Duration // between two of these
	State    DeviceState
	Grant    string // id, once approved
}

const (
	// pauseMore is by how much the pause of a device grows that asks too soon (RFC 8628, section 3.5).
	pauseMore = 5 * time.Second
	// pauseSlack is by how much two questions may be closer than the pause: what the network does to one that keeps to it.
	pauseSlack = time.Second
)

const deviceColumns = "hash, user_code, client, scope, source, created_at, expires_at, polled_at, pause, state, grant_id"

func scanDevice(r row) (Device, error) {
	var d Device
	var hash []byte
	var scope, state string
	var created, expires, pause int64
	var polled sql.NullInt64
	var grant sql.NullString
	err := r.Scan(&hash, &d.UserCode, &d.Client, &scope, &d.Source, &created, &expires, &polled, &pause, &state, &grant)
	copy(d.Hash[:], hash)
	d.Scopes, d.State, d.Grant = strings.Fields(scope), DeviceState(state), grant.String
	d.Created, d.Expires, d.Polled, d.Pause = millis(created), millis(expires), moment(polled), time.Duration(pause)*time.Second
	return d, err
}

// AddDevice writes a device that waits. ErrExists: another one has its user code.
func (s *Store) AddDevice(ctx context.Context, d Device) error {
	err := s.passing.once(ctx, `
		INSERT INTO oidc_devices (hash, user_code, client, scope, source, created_at, expires_at, pause, state)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'waiting') ON CONFLICT (user_code) DO NOTHING`,
		d.Hash[:], d.UserCode, d.Client, strings.Join(d.Scopes, " "), d.Source, d.Created.UnixMilli(), d.Expires.UnixMilli(), int64(d.Pause/time.Second))
	if errors.Is(err, ErrNotFound) {
		err = ErrExists
	}
	return failed("add device", err)
}

// waitingOnly are devices of which nobody has decided yet.
const waitingOnly = " AND state = 'waiting' AND expires_at > ?2"

// DeviceByUserCode returns the device that waits with a user code. ErrNotFound: none does.
func (s *Store) DeviceByUserCode(ctx context.Context, code string, now time.Time) (Device, error) {
	d, err := scanDevice(s.passing.row(ctx, "SELECT "+deviceColumns+" FROM oidc_devices WHERE user_code = ?1"+waitingOnly, code, now.UnixMilli()))
	if err != nil {
		return Device{}, failed("find device", err)
	}
	return d, nil
}

// WaitingDevice returns a device, which waits. ErrNotFound: it does not.
func (s *Store) WaitingDevice(ctx context.Context, hash token.Hash, now time.Time) (Device, error) {
	d, err := scanDevice(s.passing.row(ctx, "SELECT "+deviceColumns+" FROM oidc_devices WHERE hash = ?1"+waitingOnly, hash[:], now.UnixMilli()))
	if err != nil {
		return Device{}, failed("find device", err)
	}
	return d, nil
}

// PollDevice returns what has become of a device, which asks. early: it still waits and asks too soon; its pause is 5 s longer from now on. One that
// is another client's is returned as it is, and was not asked about: the caller looks. ErrNotFound: unknown.
func (s *Store) PollDevice(ctx context.Context, hash token.Hash, client string, now time.Time) (d Device, early bool, err error) {
	err = s.passing.atomically(ctx, func(c conn) (err error) {
		early = false
		if d, err = scanDevice(c.row(ctx, "SELECT "+deviceColumns+" FROM oidc_devices WHERE hash = ?1"+c.engine.lock, hash[:])); err != nil {
			return err
		}
		if d.Client != client || d.State != DeviceWaiting || !now.Before(d.Expires) {
			return nil
		}
		if early = !d.Polled.IsZero() && now.Before(d.Polled.Add(d.Pause-pauseSlack)); early {
			d.Pause += pauseMore
		}
		d.Polled = now
		return c.once(ctx, "UPDATE oidc_devices SET polled_at = ?2, pause = ?3 WHERE hash = ?1", hash[:], now.UnixMilli(), int64(d.Pause/time.Second))
	})
	if err != nil {
		return Device{}, false, failed("poll device", err)
	}
	return d, early, nil
}

// ApproveDevice gives a device that waits a grant, in the session of who approves it. ErrNotFound: it waits no more, or the session is
// over.
func (s *Store) ApproveDevice(ctx context.Context, hash token.Hash, g Grant, now time.Time) error {
	return failed("approve device", s.passing.atomically(ctx, func(c conn) error {
		if _, err := c.addGrant(ctx, g, now); err != nil {
			return err
		}
		return c.once(ctx, "UPDATE oidc_devices SET state = 'approved', grant_id = ?3 WHERE hash = ?1 AND client = ?4"+waitingOnly,
			hash[:], now.UnixMilli(), g.ID, g.Client)
	}))
}

// RefuseDevice notes that somebody has refused a device. ErrNotFound: it waits no more.
func (s *Store) RefuseDevice(ctx context.Context, hash token.Hash, now time.Time) error {
	return failed("refuse device", s.passing.once(ctx, "UPDATE oidc_devices SET state = 'refused' WHERE hash = ?1"+waitingOnly, hash[:], now.UnixMilli()))
}

// UseDevice gives a device that was approved its tokens, once: a refresh token or nil is written with it. ErrNotFound: unknown, another client's,
// late, not approved, used, or its grant is over, as with its session.
func (s *Store) UseDevice(ctx context.Context, hash token.Hash, client string, refresh *RefreshToken, now time.Time) error {
	return failed("use device", s.passing.atomically(ctx, func(c conn) error {
		var id string
		err := c.row(ctx, `
			UPDATE oidc_devices SET state = 'used', polled_at = ?3
			WHERE hash = ?1 AND client = ?2 AND state = 'approved' AND expires_at > ?3
			AND EXISTS (SELECT 1 FROM oidc_grants g WHERE g.id = grant_id AND g.client = ?2 AND g.ended_at IS NULL AND g.expires_at > ?3)
			RETURNING grant_id`, hash[:], client, now.UnixMilli()).Scan(&id)
		if err != nil || refresh == nil {
			return err
		}
		var end int64
		if err := c.row(ctx, "SELECT expires_at FROM oidc_grants WHERE id = ?1", id).Scan(&end); err != nil {
			return err
		}
		return c.addRefresh(ctx, id, millis(end), *refresh)
	}))
}
