package oidc

import (
	"context"
	"errors"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// byDevice is a request for tokens with a device code. The library sees a code that was given without a challenge; what it would look at in one, it does
// not get.
type byDevice struct{ byCode }

// byDeviceCode finds what a person has given the device of a code. Until somebody has, the error says what there is instead.
func (s storage) byDeviceCode(ctx context.Context, text string) (*byDevice, error) {
	hash, ok := token.Of(token.Device, text)
	if !ok {
		return nil, badGrant("device_unknown")
	}
	d, early, err := s.p.Store.PollDevice(ctx, hash, s.client.ID, s.p.Now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, badGrant("device_unknown")
	case err != nil:
		return nil, err
	case d.Client != s.client.ID:
		return nil, badGrant("other_client")
	case d.State == store.DeviceRefused:
		return nil, &denial{code: accessDenied, description: "the person has refused the device"}
	case d.State != store.DeviceUsed && !s.p.Now().Before(d.Expires):
		return nil, &denial{code: expiredToken, description: "the device code is older than ten minutes: begin again"}
	case early:
		return nil, &denial{code: slowDown, description: "asked too soon: wait 5 seconds longer between two questions", waits: true}
	case d.State == store.DeviceWaiting:
		return nil, &denial{code: authorizationPending, description: "nobody has decided yet", waits: true}
	}
	g, err := s.p.Store.GrantByID(ctx, d.Grant)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, badGrant("session_over")
	case err != nil:
		return nil, err
	case d.State == store.DeviceUsed:
		return nil, s.deviceReplayed(ctx, g)
	case g.Ended:
		return nil, badGrant("session_over")
	}
	body, err := grantedOf(g)
	if err == nil {
		err = s.open(ctx, g, body)
	}
	if err != nil {
		return nil, err
	}
	s.device = hash
	return &byDevice{byCode{given{granted: body, client: g.Client, scopes: allowed(s.client, body.Scopes)}}}, nil
}

// deviceReplayed ends the family of a device code that comes again after its tokens were given (F3): somebody else has it too, and nobody knows who was
// first. A device whose answer was lost begins again; one asks once at a time.
func (s storage) deviceReplayed(ctx context.Context, g store.Grant) error {
	if err := s.p.endFamily(ctx, s.source, g, "device_code_replayed"); err != nil {
		return err
	}
	return badGrant("device_code_replayed")
}

// useDevice uses up the device code for a refresh token or none.
func (s storage) useDevice(ctx context.Context, refresh *store.RefreshToken) error {
	err := s.p.Store.UseDevice(ctx, s.device, s.client.ID, refresh, s.p.Now())
	if errors.Is(err, store.ErrNotFound) { // since it was looked at: another question was faster, or the session is over
		return s.deviceReplayed(ctx, s.grant)
	}
	return err
}
