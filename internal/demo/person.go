package demo

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/password"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

// The doctor who does not exist. The card and the password are hers; so is the account, whichever she signs in with.
const (
	rpps            = "899700218896"
	secret          = "trois petits chats"
	ordinaryAddress = "jeanne.martin@example.org"
)

// newSealKeys makes the keys that codes and seeds are kept with, for this run.
func newSealKeys() (*seal.Keys, error) {
	var b [32]byte
	rand.Read(b[:]) // never fails, crypto/rand
	return seal.Parse([]byte("demo " + base64.StdEncoding.EncodeToString(b[:])))
}

// prepare gives the doctor an account, as if she had been there before: with her ordinary address and a password.
func prepare(ctx context.Context, s *store.Store) error {
	now := time.Now()
	a, err := s.OpenAccount(ctx, store.Account{
		Subject: idp.NewFactorID(), IDType: "RPPS", NationalID: rpps, GivenName: "Jeanne", FamilyName: "MARTIN", Profession: "10",
	}, now)
	if err != nil {
		return err
	}
	if err := s.SetAddress(ctx, a.Subject, ordinaryAddress, now); err != nil {
		return err
	}
	if err := s.SetRegistered(ctx, a.Subject, now); err != nil {
		return err
	}
	hasher, err := password.NewHasher(password.Default, 1)
	if err != nil {
		return err
	}
	hash, err := hasher.Hash(ctx, secret)
	if err != nil {
		return err
	}
	_, err = s.AddFactor(ctx, store.Factor{
		ID: idp.NewFactorID(), Subject: a.Subject, Kind: store.Password, ACR: idp.ACRTwoFactor, Secret: hash, Created: now,
	}, nil, 1)
	return err
}
