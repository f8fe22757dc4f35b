package otp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
	"unicode"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// An invitation: a link by mail and a code by voice, each worth nothing alone (D11). The code has 8 characters of the alphabet of recovery
// codes, 35 bits, and five tries.
const (
	invitationLife    = 24 * time.Hour
	invitationTries   = 5
	invitationPath    = base + "/invitation/"
	invitationPurpose = "activation code"
	activationLength  = 8
)

// ErrDisabled is what Invite says of an account that may not be used (D14).
var ErrDisabled = errors.New("the account is disabled")

// Inviter invites persons to choose a password, for an administrator who has made sure who they are. It is safe for concurrent use.
type Inviter struct {
	Store  *store.Store
	Outbox *outbox.Outbox
	Keys   *seal.Keys
	Now    func() time.Time
}

// Invite leaves a link for the ordinary address of an account's record (D1), in the place of the link before, and returns the code that the
// person is to be told by another way, and until when both are good. Errors beside those of the database: ErrDisabled, and those of
// outbox.Put. With an error there is no invitation, and none from before.
func (i Inviter) Invite(ctx context.Context, a store.Account) (code string, expires time.Time, err error) {
	if a.Disabled {
		return "", expires, ErrDisabled
	}
	if code, err = newCode(activationLength); err != nil {
		return "", expires, err
	}
	secret, now := token.New(), i.Now()
	hash, _ := token.Of(token.Invite, secret) // it is one
	expires = now.Add(invitationLife)
	err = i.Store.AddInvitation(ctx, store.Invitation{
		Subject: a.Subject, Token: hash, Address: a.Address, MAC: activationMAC(i.Keys, a.Subject, hash, code), Tries: invitationTries, Expires: expires,
	})
	if err != nil {
		return "", expires, err
	}
	err = i.Outbox.Put(ctx, a, mail.Notice{Kind: mail.Invitation, At: now, Valid: invitationLife, Path: invitationPath + secret})
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
		defer cancel()
		return "", expires, errors.Join(err, i.Store.DropInvitation(ctx, a.Subject))
	}
	return code[:activationLength/2] + "-" + code[activationLength/2:], expires, nil
}

// activationMAC is the keyed hash of a code, for one person and one link.
func activationMAC(k *seal.Keys, subject string, link token.Hash, code string) string {
	return k.MAC(invitationPurpose, subject, fmt.Sprintf("%x", link), code)
}

func activationRight(k *seal.Keys, i store.Invitation, code string) bool {
	return k.CheckMAC(invitationPurpose, i.MAC, i.Subject, fmt.Sprintf("%x", i.Token), code)
}

// newCode makes a code of the alphabet of recovery codes.
func newCode(length int) (string, error) {
	var b strings.Builder
	for range length {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(recoveryAlphabet))))
		if err != nil {
			return "", fmt.Errorf("make code: %w", err) // unreachable: the source of random bytes does not fail
		}
		b.WriteByte(recoveryAlphabet[n.Int64()])
	}
	return b.String(), nil
}

// readLetters reads a code of the alphabet of recovery codes, in whatever case and with whatever between its groups.
func readLetters(length int) func(string) (string, bool) {
	return func(typed string) (string, bool) {
		code := strings.ToUpper(without(typed, func(r rune) bool { return r == '-' || unicode.IsSpace(r) }))
		return code, len(code) == length && strings.Trim(code, recoveryAlphabet) == ""
	}
}
