package pkcs11

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"

	"github.com/miekg/pkcs11"
)

// Mode is a way in which a token's key can sign.
type Mode int

// The modes. For TLS: the two PSS modes sign tls.PSSWithSHA256 (TLS 1.3 and 1.2), ModePKCS1 signs tls.PKCS1WithSHA256 and its
// siblings (TLS 1.2 only), ModeECDSA signs with the hash of the curve.
const (
	ModePSS    Mode = iota + 1 // RSA, CKM_RSA_PKCS_PSS: SHA-256, MGF1 with SHA-256, salt of 32 bytes
	ModeRawPSS                 // RSA, the same encoded here, CKM_RSA_X_509 in the token
	ModePKCS1                  // RSA, PKCS #1 v1.5, CKM_RSA_PKCS over a DigestInfo encoded here
	ModeECDSA                  // CKM_ECDSA
)

// String names the mode for logs.
func (m Mode) String() string {
	switch m {
	case ModePSS:
		return "RSA-PSS"
	case ModeRawPSS:
		return "RSA-PSS (raw)"
	case ModePKCS1:
		return "RSA-PKCS1"
	case ModeECDSA:
		return "ECDSA"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

func (m Mode) mechanism() uint {
	switch m {
	case ModePSS:
		return pkcs11.CKM_RSA_PKCS_PSS
	case ModeRawPSS:
		return pkcs11.CKM_RSA_X_509
	case ModePKCS1:
		return pkcs11.CKM_RSA_PKCS
	case ModeECDSA:
		return pkcs11.CKM_ECDSA
	}
	return 0
}

// Modes lists the ways in which the key of c can sign, the preferred first, according to the token's own list of mechanisms.
// Such lists lie: a Signer whose Sign fails with ErrMechanism is followed by the next mode, without another Login.
func (t *Token) Modes(c Certificate) []Mode {
	var of []Mode
	switch c.Cert.PublicKey.(type) {
	case *rsa.PublicKey:
		of = []Mode{ModePSS, ModeRawPSS, ModePKCS1}
	case *ecdsa.PublicKey:
		of = []Mode{ModeECDSA}
	}
	var modes []Mode
	for _, m := range of {
		if t.mechanisms[m.mechanism()] {
			modes = append(modes, m)
		}
	}
	return modes
}
