package idp

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// newID returns 130 random bits in 26 lower-case characters: a name for accounts and sessions that says nothing and opens nothing.
func newID() string {
	return strings.ToLower(rand.Text())
}

// NewSupportCode returns the code that a person reads to the help desk, and that the audit event carries: 40 bits, in letters and
// digits that are not mistaken for each other on the phone.
func NewSupportCode() string {
	var b [5]byte
	rand.Read(b[:])
	s := base32.NewEncoding("23456789ABCDEFGHJKMNPQRSTUVWXYZ0").WithPadding(base32.NoPadding).EncodeToString(b[:])
	return s[:4] + "-" + s[4:]
}
