package idp

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// What is decided without a request around it.
var (
	IsLocalPath = isLocalPath
	IsPage      = isPage
	IsPerson    = isPerson
)

// MaxReturn is the longest path that is returned to.
const MaxReturn = maxReturn

// Assertion signs what a service is told of a session.
func (s *Server) Assertion(v store.Session, service string) (string, error) {
	return s.Keys.signer.assertion(context.Background(), v, service)
}

// Asks says whether a network address is of a proxy of a service.
func Asks(s Service, remote string) bool { return s.asks(remote) }

// Heard says whether Run has looked at the database.
func (s *Sessions) Heard() bool { return s.heard.Load() != 0 }

// HeardSince says whether Run has looked at the database at a time or later.
func (s *Sessions) HeardSince(t time.Time) bool { return s.heard.Load() >= t.UnixMilli() }

// EndNow ends a session as a sign-out does.
func (s *Sessions) EndNow(ctx context.Context, id string) error {
	_, err := s.end(ctx, id, "test")
	return err
}

// Fill puts n sessions into memory, each on two hosts.
func (s *Sessions) Fill(n int) {
	s.cache = newCache()
	for i := range n {
		id := newID()
		now := s.now()
		for _, host := range []string{"auth.example.test", "mail.example.test"} {
			hash, _ := token.Of(token.Session, token.New())
			s.cache.put(place{hash, host}, store.Session{ // its texts are packed, so constants among them save nothing
				ID: id, Method: "card", ACR: ACRHardware, AMR: []string{"sc", "pin", "mfa"}, AuthTime: now, Fingerprint: strings.Repeat("ab", 32), CardType: "CPS",
				Source: "192.0.2.1", Browser: "Firefox 153, Linux", CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
				Account: store.Account{Subject: newID(), IDType: "RPPS", NationalID: fmt.Sprintf("8%011d", i), GivenName: "JEANNE", FamilyName: "MARTIN",
					Title: "Médecin", Profession: "10", Mailbox: "jeanne.martin@example.mssante.fr"},
			}, s.cache.now())
		}
	}
}

// Packed returns a session as it comes back from memory, with how it is found there, and whether it is kept at all.
func Packed(v store.Session) (session store.Session, id, subject string, ok bool) {
	p, ok := pack(v)
	if !ok {
		return session, "", "", false
	}
	return p.unpack(), p.id(), p.subject(), true
}

// Expire ends sessions whose time is over, as Run does now and then.
func (s *Sessions) Expire(ctx context.Context, log *slog.Logger) { s.expire(ctx, log) }
