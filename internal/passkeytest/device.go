// Package passkeytest has a device with passkeys, in memory, for tests: what a telephone or a security key answers to
// navigator.credentials, with the faults that tests want of it. The end-to-end tests have Chromium's in its place.
//
// A Device is used by one test at a time.
package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// Device is a telephone, say. Its fields may be changed before each use.
type Device struct {
	Origin string // of the page that asks
	Host   string // RP ID that it is asked for

	Unverified bool   // it does not verify the person
	Synced     bool   // its keys are copied to other devices of the person
	Count      uint32 // of uses, which rises by one with each; stays zero when Countless
	Countless  bool

	key  *ecdsa.PrivateKey
	id   []byte
	user []byte
}

// New returns a device whose browser shows a page of an origin.
func New(origin, host string) *Device { return &Device{Origin: origin, Host: host} }

// Copy is the same key in another device, as somebody has who took it out.
func (d *Device) Copy() *Device {
	c := *d
	return &c
}

// Claim makes the device name the person of another one as its own in what it answers from now on.
func (d *Device) Claim(other *Device) { d.user = other.user }

var b64 = base64.RawURLEncoding

// Create makes a key, as navigator.credentials.create does for options, and returns the answer.
func (d *Device) Create(options []byte) (string, error) {
	var o struct {
		Challenge string `json:"challenge"`
		User      struct {
			ID string `json:"id"`
		} `json:"user"`
		Exclude []struct {
			ID string `json:"id"`
		} `json:"excludeCredentials"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		return "", err
	}
	for _, e := range o.Exclude {
		if e.ID == b64.EncodeToString(d.id) {
			return "", errors.New("InvalidStateError")
		}
	}
	var err error
	if d.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return "", err
	}
	if d.user, err = b64.DecodeString(o.User.ID); err != nil {
		return "", err
	}
	d.id = make([]byte, 16)
	rand.Read(d.id)
	public, err := d.key.PublicKey.Bytes() // 4, x, y: SEC 1, section 2.3.3
	if err != nil {
		return "", err
	}
	// WebAuthn level 3, section 6.5.1: AAGUID, length of the id, id, COSE key (RFC 9053, section 7.1.1: EC2, ES256, P-256, x, y).
	data := append(d.data(0x40), make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(d.id)))
	data = append(data, d.id...)
	data = append(data, 0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32)
	data = append(data, public[1:33]...)
	data = append(data, 0x22, 0x58, 32)
	data = append(data, public[33:]...)
	// {"fmt": "none", "attStmt": {}, "authData": data} in CBOR (RFC 8949).
	object := append([]byte{0xa3, 0x63}, "fmt\x64none\x67attStmt\xa0\x68authData\x58"...)
	object = append(object, byte(len(data)))
	object = append(object, data...)
	return d.answer(map[string]any{
		"clientDataJSON": b64.EncodeToString(d.client("webauthn.create", o.Challenge)), "attestationObject": b64.EncodeToString(object),
		"transports": []string{"internal"},
	})
}

// Get proves that the key is there, as navigator.credentials.get does for options, and returns the answer.
func (d *Device) Get(options []byte) (string, error) {
	var o struct {
		Challenge string `json:"challenge"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		return "", err
	}
	if d.key == nil {
		return "", errors.New("NotAllowedError")
	}
	if !d.Countless {
		d.Count++
	}
	data, client := d.data(0), d.client("webauthn.get", o.Challenge)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, d.key, digest[:])
	if err != nil {
		return "", err
	}
	return d.answer(map[string]any{
		"clientDataJSON": b64.EncodeToString(client), "authenticatorData": b64.EncodeToString(data), "signature": b64.EncodeToString(signature),
		"userHandle": b64.EncodeToString(d.user),
	})
}

// data is the authenticator data: WebAuthn level 3, section 6.1.
func (d *Device) data(flags byte) []byte {
	flags |= 0x01 // the person is present
	if !d.Unverified {
		flags |= 0x04
	}
	if d.Synced {
		flags |= 0x18 // may be copied, and is
	}
	host := sha256.Sum256([]byte(d.Host))
	return binary.BigEndian.AppendUint32(append(host[:], flags), d.Count)
}

func (d *Device) client(kind, challenge string) []byte {
	return fmt.Appendf(nil, `{"type":%q,"challenge":%q,"origin":%q,"crossOrigin":false}`, kind, challenge, d.Origin)
}

func (d *Device) answer(response map[string]any) (string, error) {
	id := b64.EncodeToString(d.id)
	data, err := json.Marshal(map[string]any{
		"id": id, "rawId": id, "type": "public-key", "authenticatorAttachment": "platform", "clientExtensionResults": map[string]any{}, "response": response,
	})
	return string(data), err
}
