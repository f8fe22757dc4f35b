package pkcs11

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// pssSalt is the length of the salt in bytes: that of SHA-256, as TLS asks (RFC 8446, section 4.2.3).
const pssSalt = sha256.Size

// digestInfo returns the DER of a DigestInfo up to its digest (RFC 8017, section 9.2, note 1).
func digestInfo(h crypto.Hash) []byte {
	switch h {
	case crypto.SHA256:
		return []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
	case crypto.SHA384:
		return []byte{0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30}
	case crypto.SHA512:
		return []byte{0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40}
	}
	return nil
}

// encodePSS is EMSA-PSS-ENCODE of RFC 8017, section 9.1.1, with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes, for a modulus of
// modBits. It is for tokens that only do the bare RSA operation. The result is as long as the modulus.
func encodePSS(mHash []byte, modBits int) ([]byte, error) {
	const hLen, sLen = sha256.Size, pssSalt
	if len(mHash) != hLen {
		return nil, errors.New("encode PSS: not a SHA-256 digest")
	}
	emBits := modBits - 1 // RFC 8017, section 8.1.1, step 1
	emLen := (emBits + 7) / 8
	// Step 3.
	if emLen < hLen+sLen+2 {
		return nil, fmt.Errorf("encode PSS: a key of %d bits is too short", modBits)
	}
	// Step 4. rand.Read never fails (crypto/rand, Go 1.24).
	salt := make([]byte, sLen)
	rand.Read(salt)
	// Steps 5 and 6: H = Hash(eight zero bytes || mHash || salt).
	h := sha256.New()
	h.Write(make([]byte, 8))
	h.Write(mHash)
	h.Write(salt)
	hash := h.Sum(nil)
	// Steps 7 and 8: DB = PS || 0x01 || salt.
	em := make([]byte, emLen)
	db := em[:emLen-hLen-1]
	db[len(db)-sLen-1] = 0x01
	copy(db[len(db)-sLen:], salt)
	// Steps 9 and 10.
	maskMGF1(db, hash)
	// Step 11: the leftmost 8*emLen - emBits bits are zero.
	db[0] &= 0xff >> (8*emLen - emBits)
	// Step 12: EM = maskedDB || H || 0xbc.
	copy(em[len(db):], hash)
	em[emLen-1] = 0xbc
	// Where modBits-1 is a multiple of eight, the modulus is a byte longer than EM (RFC 8017, section 8.1.1, step 2a: OS2IP).
	if k := (modBits + 7) / 8; k > emLen {
		em = append(make([]byte, k-emLen), em...)
	}
	return em, nil
}

// maskMGF1 applies MGF1 with SHA-256 (RFC 8017, appendix B.2.1) of seed to out.
func maskMGF1(out, seed []byte) {
	for counter := uint32(0); len(out) > 0; counter++ {
		block := sha256.Sum256(binary.BigEndian.AppendUint32(append([]byte{}, seed...), counter))
		n := min(len(out), len(block))
		for i := range n {
			out[i] ^= block[i]
		}
		out = out[n:]
	}
}
