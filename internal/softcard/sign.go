package softcard

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"io"

	"promess/authgw/internal/agent"
)

// Names of the ways to sign.
const (
	namePSS   = "RSA-PSS"
	namePKCS1 = "RSA-PKCS1"
	nameECDSA = "ECDSA"
)

// keys lists the ways in which the card signs, without their signers; none for a key that no card has.
func keys(c Config) []agent.Key {
	pkcs1 := agent.Key{Name: namePKCS1, Schemes: []tls.SignatureScheme{tls.PKCS1WithSHA256}, MaxVersion: tls.VersionTLS12}
	switch public := c.Key.Public().(type) {
	case *rsa.PublicKey:
		if !c.PSS {
			return []agent.Key{pkcs1}
		}
		return []agent.Key{{Name: namePSS, Schemes: []tls.SignatureScheme{tls.PSSWithSHA256}, MaxVersion: tls.VersionTLS13}, pkcs1}
	case *ecdsa.PublicKey:
		if isP256(public) {
			return []agent.Key{{Name: nameECDSA, Schemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, MaxVersion: tls.VersionTLS13}}
		}
	}
	return nil
}

// signer is one way to sign.
type signer struct {
	token *token
	name  string
}

var _ crypto.Signer = (*signer)(nil)

func (s *signer) Public() crypto.PublicKey { return s.token.publicKey() }

// Sign fails with agent.ErrMechanism when it is asked for another kind of signature than its own.
func (s *signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != crypto.SHA256 || isPSS(opts) != (s.name == namePSS) {
		return nil, fmt.Errorf("softcard: %w", agent.ErrMechanism)
	}
	if err := s.token.ready(); err != nil {
		return nil, err
	}
	return s.token.use.card.config.Key.Sign(rand, digest, opts)
}
