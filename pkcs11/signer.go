package pkcs11

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
)

// Signer returns the key of c as a crypto.Signer that signs in the mode m: with SHA-256, or for ModePKCS1 with SHA-256, -384 or
// -512, or for ModeECDSA with the hash of the curve's size. Login comes first.
//
// Sign checks each signature against the certificate before it returns it (ErrWrongSignature), and refuses other hashes and other
// PSS salts with ErrMechanism. Its other errors are those of Login, and ErrKeyNotFound. Its rand is not used.
func (t *Token) Signer(c Certificate, m Mode) (crypto.Signer, error) {
	if !slices.Contains(t.Modes(c), m) {
		return nil, fmt.Errorf("sign with %v: %w", m, ErrMechanism)
	}
	return &signer{token: t, certificate: c, mode: m}, nil
}

type signer struct {
	token       *Token
	certificate Certificate
	mode        Mode
}

func (s *signer) Public() crypto.PublicKey { return s.certificate.Cert.PublicKey }

func (s *signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := s.sign(rand, digest, opts)
	if err != nil {
		return nil, fmt.Errorf("sign with %v: %w", s.mode, err)
	}
	return signature, nil
}

func (s *signer) sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := s.check(digest, opts); err != nil {
		return nil, err
	}
	data, err := s.encode(digest, opts.HashFunc())
	if err != nil {
		return nil, err
	}
	// crypto.Signer knows no context; the call's own time and Module.Close bound it.
	a, err := s.token.module.call(context.Background(), s.token.timeout(), s.token,
		request{Op: opSign, Slot: s.token.Slot, ID: s.certificate.ID, Mode: s.mode, Data: data})
	if err != nil {
		return nil, err
	}
	signature := a.Signature
	if s.mode == ModeECDSA {
		if signature, err = asn1Signature(signature); err != nil {
			return nil, err
		}
	}
	if err := s.verify(digest, opts.HashFunc(), signature); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrongSignature, err)
	}
	return signature, nil
}

// check refuses what the mode cannot do, so that nothing is signed otherwise than asked.
func (s *signer) check(digest []byte, opts crypto.SignerOpts) error {
	if opts == nil || !slices.Contains(s.hashes(), opts.HashFunc()) {
		return fmt.Errorf("%w: this hash", ErrMechanism)
	}
	if len(digest) != opts.HashFunc().Size() {
		return errors.New("the digest has not the length of its hash")
	}
	pss, isPSS := opts.(*rsa.PSSOptions)
	if isPSS != (s.mode == ModePSS || s.mode == ModeRawPSS) {
		return fmt.Errorf("%w: PSS and the other paddings are different keys to a TLS peer", ErrMechanism)
	}
	// Auto leaves the length to the signer.
	if isPSS && pss.SaltLength != rsa.PSSSaltLengthEqualsHash && pss.SaltLength != rsa.PSSSaltLengthAuto && pss.SaltLength != pssSalt {
		return fmt.Errorf("%w: a salt of %d bytes", ErrMechanism, pss.SaltLength)
	}
	return nil
}

func (s *signer) hashes() []crypto.Hash {
	switch s.mode {
	case ModePSS, ModeRawPSS:
		return []crypto.Hash{crypto.SHA256}
	case ModePKCS1:
		return []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}
	case ModeECDSA:
		if key, ok := s.Public().(*ecdsa.PublicKey); ok {
			switch key.Curve.Params().BitSize {
			case 256:
				return []crypto.Hash{crypto.SHA256}
			case 384:
				return []crypto.Hash{crypto.SHA384}
			case 521:
				return []crypto.Hash{crypto.SHA512}
			}
		}
	}
	return nil
}

// encode returns what goes into C_Sign.
func (s *signer) encode(digest []byte, hash crypto.Hash) ([]byte, error) {
	switch s.mode {
	case ModePKCS1:
		return append(slices.Clone(digestInfo(hash)), digest...), nil
	case ModeRawPSS:
		key := s.Public().(*rsa.PublicKey) // Modes gave this mode for RSA keys only
		return encodePSS(digest, key.N.BitLen())
	}
	return digest, nil
}

func (s *signer) verify(digest []byte, hash crypto.Hash, signature []byte) error {
	switch key := s.Public().(type) {
	case *rsa.PublicKey:
		if s.mode == ModePKCS1 {
			return rsa.VerifyPKCS1v15(key, hash, digest, signature)
		}
		return rsa.VerifyPSS(key, hash, digest, signature, &rsa.PSSOptions{SaltLength: pssSalt, Hash: hash})
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(key, digest, signature) {
			return nil
		}
		return errors.New("ECDSA verification failed")
	}
	return errors.New("unknown kind of key") // unreachable: Modes knows these two
}

// asn1Signature turns PKCS#11's r and s, of equal length, into the SEQUENCE that TLS uses (RFC 3279, section 2.2.3).
func asn1Signature(raw []byte) ([]byte, error) {
	if len(raw) == 0 || len(raw)%2 != 0 {
		return nil, fmt.Errorf("%w: %d bytes", ErrWrongSignature, len(raw))
	}
	half := len(raw) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
}

var _ crypto.Signer = (*signer)(nil)
