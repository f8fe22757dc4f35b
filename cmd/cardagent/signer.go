package main

import (
	"crypto"
	"io"
)

// errorSigner translates the errors of a card's signer.
type errorSigner struct{ crypto.Signer }

func (s errorSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := s.Signer.Sign(rand, digest, opts)
	return sig, agentError(err)
}
