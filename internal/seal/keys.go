package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
)

// size of a key, in bytes.
const size = 32

// maxKeys bounds a file: each is tried by nobody, but a file of another kind would otherwise be read to its end.
const maxKeys = 64

var idForm = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// Keys are the keys of a file, at least one.
type Keys struct{ all []key }

type key struct {
	id     string
	secret []byte
}

// LogValue keeps the keys out of logs.
func (k *Keys) LogValue() slog.Value { return slog.StringValue("keys") }

// String and GoString keep them out of errors and of what tests print.
func (k *Keys) String() string   { return "keys" }
func (k *Keys) GoString() string { return "keys" }

// Parse reads a file of keys. A line is the id of a key, a space, and 32 random bytes in base64; the first key seals. Lines that are
// empty or begin with # say nothing. A line is made with
//
//	printf 'k1 %s\n' "$(openssl rand -base64 32)"
func Parse(file []byte) (*Keys, error) {
	k := &Keys{}
	n := 0
	for line := range strings.Lines(string(file)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		one, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if err := k.add(one); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if len(k.all) == 0 {
		return nil, errors.New(`no key in it: make one with  printf 'k1 %s\n' "$(openssl rand -base64 32)"`)
	}
	return k, nil
}

// parseLine reads an id and a key. Its errors do not repeat the line, which may be a key.
func parseLine(line string) (key, error) {
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return key{}, errors.New("an id and a key in base64 expected, separated by a space")
	}
	if !idForm.MatchString(fields[0]) {
		return key{}, errors.New("an id of 1 to 32 lower-case letters, digits and hyphens expected before the key")
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil || len(secret) != size {
		return key{}, fmt.Errorf("%d bytes in base64 expected after the id", size)
	}
	return key{fields[0], secret}, nil
}

func (k *Keys) add(one key) error {
	for _, other := range k.all {
		if other.id == one.id {
			return fmt.Errorf("a second key with the id %q", one.id)
		}
		if bytes.Equal(other.secret, one.secret) {
			return fmt.Errorf("the key %q has the secret of %q", one.id, other.id)
		}
	}
	if len(k.all) == maxKeys {
		return fmt.Errorf("more than %d keys", maxKeys)
	}
	k.all = append(k.all, one)
	return nil
}

// current is the key that seals.
func (k *Keys) current() key { return k.all[0] }

// find returns the key of an id.
func (k *Keys) find(id string) (key, bool) {
	for _, one := range k.all {
		if one.id == id {
			return one, true
		}
	}
	return key{}, false
}

// What keys are derived for. A purpose is one of the callers'; these tell apart what is done with it here.
const (
	forSealing  = "authgw seal v1: "
	forMAC      = "authgw mac v1: "
	forDeriving = "authgw derived key v1: "
	forProof    = "authgw key proof v1: "
)

// derive returns the key for something (RFC 5869; the secret is uniformly random, so it needs no salt).
func (k key) derive(what, purpose string) []byte {
	derived, err := hkdf.Key(sha256.New, k.secret, nil, what+purpose, size)
	if err != nil {
		panic("seal: " + err.Error()) // 32 bytes are fewer than the 255 hashes of RFC 5869, section 2.3
	}
	return derived
}
