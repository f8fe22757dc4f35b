package psc

import (
	"context"
	"encoding/json"
	"time"

	"golang.org/x/oauth2"

	"promess/authgw/internal/store"
)

// Reasons for which PSC, or who is there, ends a session. The login page says them.
const (
	endOver        = "psc_ended"
	endOtherPerson = "psc_other_person"
	endLogout      = "psc_logout"
)

// tokens are what is kept of PSC while a session is open, sealed. The access token is not kept: nothing needs it.
type tokens struct {
	Refresh  string    `json:"refresh"`
	ID       string    `json:"id"` // the newest: a logout hints at it
	Nonce    string    `json:"nonce"`
	AuthTime time.Time `json:"auth_time"`
	Life     int64     `json:"life"` // seconds of the refresh token
}

const (
	usualLife    = 30 * time.Minute // of a refresh token that does not say
	renewalsEach = 6                // in the life of a refresh token: what is left of it after the person's last request is most of it
	soonest      = 30 * time.Second
	farOff       = 10 * time.Minute
	never        = 24 * time.Hour // where there is no refresh token: longer than any session
)

// tokensOf returns what is kept of an answer of the token endpoint.
func (m *Method) tokensOf(got *oauth2.Token, id, nonce string, c *claims) tokens {
	t := tokens{Refresh: got.RefreshToken, ID: id, Nonce: nonce, AuthTime: c.authTime()}
	t.Life = lifeOf(got)
	return t
}

// lifeOf returns how long a refresh token is good for, in seconds, as the answer says.
func lifeOf(got *oauth2.Token) int64 {
	if n, ok := got.Extra("refresh_expires_in").(float64); ok && n > 0 && n <= sessionLifetime.Seconds() {
		return int64(n)
	}
	return int64(usualLife / time.Second)
}

// due is when tokens that are new now are to be renewed.
func (t tokens) due(now time.Time) time.Time {
	if t.Refresh == "" {
		return now.Add(never)
	}
	return now.Add(spread(min(max(time.Duration(t.Life)*time.Second/renewalsEach, soonest), farOff)))
}

// sealTokens returns tokens as a session keeps them.
func (m *Method) sealTokens(session string, t tokens) (string, error) {
	data, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	return m.Keys.Seal(sealTokens, session, data), nil
}

func (m *Method) openTokens(v store.PSCSession) (tokens, error) {
	var t tokens
	data, err := m.Keys.Open(sealTokens, v.ID, v.Tokens)
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	return t, err
}

// keep notes what a new session has at PSC.
func (m *Method) keep(ctx context.Context, v store.Session, f *found) error {
	now := m.Now()
	sealed, err := m.sealTokens(v.ID, f.Tokens)
	if err != nil {
		return err
	}
	return m.Store.LinkPSCSession(ctx, store.PSCSession{
		ID: v.ID, Issuer: m.Issuer, Sub: f.Sub, SID: f.SID, Tokens: sealed, Refreshed: now, Due: f.Tokens.due(now),
	})
}
