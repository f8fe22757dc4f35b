package qr

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"promess/authgw/internal/seal"
	"promess/authgw/internal/token"
)

// slotLife is how long the image of a login stays the same. Its code is taken during the next one too, for a phone that is slow.
const slotLife = 20 * time.Second

// ahead is how far the clock of the gateway that drew an image may be before ours: each may be five seconds from the database's (package store).
const ahead = 10 * time.Second

// Purposes of the keyed hashes in codes.
const (
	purposeLogin = "qr code of a login"
	purposeAdd   = "qr code of a phone that is added"
)

// maxCode bounds what a phone may send as a code.
const maxCode = 256

// What a code begins with.
const (
	kindLogin = "l"
	kindAdd   = "p"
)

// slot is the number of a time's image.
func slot(t time.Time) int64 { return t.Unix() / int64(slotLife/time.Second) }

// nextSlot is when the image after that of t begins.
func nextSlot(t time.Time) time.Time { return time.Unix((slot(t)+1)*int64(slotLife/time.Second), 0) }

// loginCode is the code of a login at a time: its handle's hash, which opens nothing, and a keyed hash over it and the time.
func loginCode(k *seal.Keys, handle token.Hash, at time.Time) string {
	id := base64.RawURLEncoding.EncodeToString(handle[:])
	return kindLogin + "." + id + "." + k.MAC(purposeLogin, id, strconv.FormatInt(slot(at), 10))
}

// addCode is the code of an enrolment, for as long as that waits.
func addCode(k *seal.Keys, handle token.Hash) string {
	id := base64.RawURLEncoding.EncodeToString(handle[:])
	return kindAdd + "." + id + "." + k.MAC(purposeAdd, id)
}

// readCode returns the login of a code, by the hash of its handle, and the name under which it waits. ok is false for any other text, and
// for a code whose time is over.
func readCode(k *seal.Keys, code string, now time.Time) (handle token.Hash, name string, ok bool) {
	if len(code) > maxCode {
		return handle, "", false
	}
	parts := strings.SplitN(code, ".", 3)
	if len(parts) != 3 {
		return handle, "", false
	}
	kind, id, mac := parts[0], parts[1], parts[2]
	n, err := base64.RawURLEncoding.Strict().Decode(handle[:], []byte(id[:min(len(id), token.Len)]))
	if err != nil || n != len(handle) || len(id) != token.Len {
		return handle, "", false
	}
	switch kind {
	case kindLogin:
		for s := slot(now) - 1; s <= slot(now.Add(ahead)); s++ {
			if k.CheckMAC(purposeLogin, mac, id, strconv.FormatInt(s, 10)) {
				return handle, Name, true
			}
		}
	case kindAdd:
		return handle, adding, k.CheckMAC(purposeAdd, mac, id)
	}
	return handle, "", false
}
