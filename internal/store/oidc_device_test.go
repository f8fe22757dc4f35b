package store_test

import (
	"context"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// device writes a device of the client "tv" that waits for ten minutes.
func device(t testing.TB, s *store.Store, code string) store.Device {
	t.Helper()
	d := store.Device{
		Hash: hash(t, token.Device), UserCode: code, Client: "tv", Scopes: []string{"openid", "profile"}, Source: "192.0.2.7",
		Created: noon, Expires: noon.Add(10 * time.Minute), Pause: 5 * time.Second, State: store.DeviceWaiting,
	}
	if err := s.AddDevice(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// deviceGrant is a grant that a person gives a device in a session.
func deviceGrant(id, session string) store.Grant {
	return store.Grant{ID: id, Client: "tv", Session: session, SID: session, Body: []byte(`{"sub":"x"}`), Created: noon, Expires: noon.Add(24 * time.Hour)}
}

func TestDeviceWaitsUnderItsUserCode(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		d := device(t, s, "mac-1")
		got, err := s.DeviceByUserCode(t.Context(), "mac-1", noon)
		check(t, "DeviceByUserCode", err, nil)
		diff(t, "device", got, d)
		got, err = s.WaitingDevice(t.Context(), d.Hash, noon)
		check(t, "WaitingDevice", err, nil)
		diff(t, "device", got, d)

		other := d
		other.Hash = hash(t, token.Device)
		check(t, "another with its user code", s.AddDevice(t.Context(), other), store.ErrExists)
		_, err = s.DeviceByUserCode(t.Context(), "mac-2", noon)
		check(t, "another user code", err, store.ErrNotFound)
		_, err = s.DeviceByUserCode(t.Context(), "mac-1", d.Expires)
		check(t, "a late user code", err, store.ErrNotFound)
		check(t, "a late refusal", s.RefuseDevice(t.Context(), d.Hash, d.Expires), store.ErrNotFound)
		check(t, "RefuseDevice", s.RefuseDevice(t.Context(), d.Hash, noon), nil)
		_, err = s.DeviceByUserCode(t.Context(), "mac-1", noon)
		check(t, "the user code of a refused device", err, store.ErrNotFound)
		_, err = s.WaitingDevice(t.Context(), d.Hash, noon)
		check(t, "a refused device", err, store.ErrNotFound)
		got, early, err := s.PollDevice(t.Context(), d.Hash, "tv", noon)
		if err != nil || early || got.State != store.DeviceRefused {
			t.Errorf("PollDevice = %v, %v, %v, want refused", got.State, early, err)
		}
	})
}

// RFC 8628, section 3.5: slow_down increases the interval "by 5 seconds for this and all subsequent requests".
func TestDeviceThatAsksTooSoonWaitsLonger(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		d := device(t, s, "mac-1")
		at := noon
		for i, ask := range []struct {
			after time.Duration
			early bool
			pause time.Duration
		}{
			{0, false, 5 * time.Second},
			{5 * time.Second, false, 5 * time.Second},
			{4 * time.Second, false, 5 * time.Second}, // the network
			{3 * time.Second, true, 10 * time.Second},
			{5 * time.Second, true, 15 * time.Second},
			{15 * time.Second, false, 15 * time.Second},
		} {
			at = at.Add(ask.after)
			got, early, err := s.PollDevice(t.Context(), d.Hash, "tv", at)
			if err != nil || early != ask.early || got.Pause != ask.pause || !got.Polled.Equal(at) {
				t.Errorf("question %d: early %v, pause %v, polled %v, error %v; want %v, %v", i, early, got.Pause, got.Polled, err, ask.early, ask.pause)
			}
		}
		got, early, err := s.PollDevice(t.Context(), d.Hash, "other", at)
		if err != nil || early || got.Client != "tv" || got.Pause != 15*time.Second {
			t.Errorf("another client's question: %+v, %v, %v, want the device as it is", got, early, err)
		}
		_, _, err = s.PollDevice(t.Context(), hash(t, token.Device), "tv", at)
		check(t, "an unknown device", err, store.ErrNotFound)
	})
}

// F3: what a person has approved is given once, to the client that asked, while it is time and the session is open.
func TestF3ADeviceGetsItsTokensOnce(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		v, _, _ := session(t, s, "s-1", account(t, s))
		d := device(t, s, "mac-1")
		refresh, first := newRefresh(t, noon), access{"g-1", hash(t, token.Refresh)}
		check(t, "before the approval", s.UseDevice(t.Context(), d.Hash, "tv", &refresh, noon), store.ErrNotFound)
		check(t, "approval in a session that is not open", s.ApproveDevice(t.Context(), d.Hash, deviceGrant("g-0", "s-9"), noon), store.ErrNotFound)
		other := deviceGrant("g-0", "s-1")
		other.Client = "other"
		check(t, "approval for another client", s.ApproveDevice(t.Context(), d.Hash, other, noon), store.ErrNotFound)
		check(t, "a late approval", s.ApproveDevice(t.Context(), d.Hash, deviceGrant("g-0", "s-1"), d.Expires), store.ErrNotFound)
		_, err := s.GrantByID(t.Context(), "g-0")
		check(t, "the grant of an approval that failed", err, store.ErrNotFound)
		check(t, "ApproveDevice", s.ApproveDevice(t.Context(), d.Hash, deviceGrant("g-1", "s-1"), noon), nil)
		check(t, "ApproveDevice again", s.ApproveDevice(t.Context(), d.Hash, deviceGrant("g-2", "s-1"), noon), store.ErrNotFound)
		check(t, "RefuseDevice after the approval", s.RefuseDevice(t.Context(), d.Hash, noon), store.ErrNotFound)
		g, err := s.GrantByID(t.Context(), "g-1")
		check(t, "GrantByID", err, nil)
		want := deviceGrant("g-1", "s-1")
		want.Expires = v.ExpiresAt // and no later
		diff(t, "grant", g, want)

		check(t, "another client's device code", s.UseDevice(t.Context(), d.Hash, "other", &refresh, noon), store.ErrNotFound)
		check(t, "a late device code", s.UseDevice(t.Context(), d.Hash, "tv", &refresh, d.Expires), store.ErrNotFound)
		good(t, s, "a token that nobody was given", refresh, noon, store.ErrNotFound)
		check(t, "UseDevice", s.UseDevice(t.Context(), d.Hash, "tv", &refresh, noon), nil)
		check(t, "UseDevice again", s.UseDevice(t.Context(), d.Hash, "tv", nil, noon), store.ErrNotFound)
		opens(t, s, "the access token", first, noon, nil)
		good(t, s, "the refresh token", refresh, noon, nil)
		got, _, err := s.PollDevice(t.Context(), d.Hash, "tv", noon.Add(time.Minute))
		if err != nil || got.State != store.DeviceUsed || got.Grant != "g-1" || !got.Polled.Equal(noon) {
			t.Errorf("PollDevice = %+v, %v, want it used at noon", got, err)
		}

		late := device(t, s, "mac-2")
		check(t, "ApproveDevice", s.ApproveDevice(t.Context(), late.Hash, deviceGrant("g-3", "s-1"), noon), nil)
		check(t, "EndSession", s.EndSession(t.Context(), "s-1", "logout", noon), nil)
		opens(t, s, "the access token after the session", first, noon, store.ErrNotFound)
		check(t, "a device that was approved in a session that is over", s.UseDevice(t.Context(), late.Hash, "tv", nil, noon), store.ErrNotFound)
	})
}

// F3: of many questions of one device at once, at two gateways, one gets tokens; of many persons who decide, one does.
func TestF3OneOfManyQuestionsAtOnceWins(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		stores := []*store.Store{open(t, name), open(t, name)}
		session(t, stores[0], "s-1", account(t, stores[0]))
		d := device(t, stores[0], "mac-1")
		once(t, func(ctx context.Context, i int) error {
			return stores[i%2].ApproveDevice(ctx, d.Hash, deviceGrant(token.New(), "s-1"), noon)
		})
		once(t, func(ctx context.Context, i int) error {
			refresh := newRefresh(t, noon)
			return stores[i%2].UseDevice(ctx, d.Hash, "tv", &refresh, noon)
		})
		var grants, tokens int
		e.scan(t, name, "SELECT count(*) FROM oidc_grants", &grants)
		e.scan(t, name, "SELECT count(*) FROM oidc_tokens", &tokens)
		if grants != 1 || tokens != 1 {
			t.Errorf("%d grants and %d refresh tokens were given, want one of each", grants, tokens)
		}
	})
}
