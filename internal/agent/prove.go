package agent

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"time"

	"promess/authgw/internal/cardwire"
)

// cardSigner is the card's key for one handshake. The TLS client drops the error of a signer on its way up (it keeps the
// text only), so the signer remembers it.
type cardSigner struct {
	certificate *x509.Certificate
	sign        func(digest []byte, opts crypto.SignerOpts) ([]byte, error)
	asked       bool // the gateway asked for the certificate
	err         error
}

var _ crypto.Signer = (*cardSigner)(nil)

// Public returns the certificate's key: a token may not show its own.
func (s *cardSigner) Public() crypto.PublicKey { return s.certificate.PublicKey }

// Sign signs with the card, and lets only a signature out that the certificate verifies.
func (s *cardSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := s.sign(digest, opts)
	if err == nil && !Verifies(s.certificate.PublicKey, digest, sig, opts) {
		err = fmt.Errorf("%w: its signature does not verify", ErrMechanism)
	}
	if err != nil {
		s.err = err
		return nil, err
	}
	return sig, nil
}

// sign returns the signature function of one key, bounded: a signer has no context of its own, and a module that lost its
// card may never come back.
func (l *login) sign(ctx context.Context, key Key, interrupt func()) func([]byte, crypto.SignerOpts) ([]byte, error) {
	type result struct {
		sig []byte
		err error
	}
	return func(digest []byte, opts crypto.SignerOpts) ([]byte, error) {
		done := make(chan result, 1)
		go func() { // ends with Sign, at the latest when interrupt has closed the use of the card
			sig, err := key.Signer.Sign(rand.Reader, digest, opts)
			done <- result{sig, err}
		}()
		stalled := time.NewTimer(l.server.config.CardTimeout)
		defer stalled.Stop()
		select {
		case r := <-done:
			return r.sig, r.err
		case <-stalled.C:
			interrupt()
			return nil, ErrStalled
		case <-ctx.Done():
			interrupt()
			return nil, context.Cause(ctx)
		}
	}
}

// clientTLS is the configuration for a card's key. GetClientCertificate, because a certificate in Certificates that the
// handshake cannot use is left out without a word.
func (c *gatewayClient) clientTLS(key Key, signer *cardSigner) *tls.Config {
	config := c.tls()
	config.MaxVersion = key.MaxVersion
	config.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		signer.asked = true
		if !slices.ContainsFunc(key.Schemes, func(s tls.SignatureScheme) bool { return slices.Contains(request.SignatureSchemes, s) }) {
			signer.err = fmt.Errorf("%w: the gateway takes none of its signatures", ErrMechanism)
			return nil, signer.err
		}
		return &tls.Certificate{
			Certificate:                  [][]byte{signer.certificate.Raw},
			Leaf:                         signer.certificate,
			PrivateKey:                   signer,
			SupportedSignatureAlgorithms: key.Schemes,
		}, nil
	}
	return config
}

// prove presents the certificate to the card host and asks for the login to be judged. The error is ErrMechanism when the
// key cannot do it and another may; the gateway has seen nothing of the login then.
func (c *gatewayClient) prove(ctx context.Context, handle string, key Key, signer *cardSigner, signed func()) (cardwire.Proved, error) {
	ctx, done := context.WithTimeout(ctx, c.timeout+c.signing)
	defer done()
	conn, err := c.dial(ctx, c.gateway.Card, c.clientTLS(key, signer))
	if signer.err != nil {
		err = signer.err
	}
	if err != nil {
		return cardwire.Proved{}, err
	}
	defer conn.Close()
	if !signer.asked {
		return cardwire.Proved{}, &refusedError{word: "no_certificate_request"}
	}
	signed()
	var answer cardwire.Proved
	if err := exchange(ctx, conn, c.gateway.Card+cardwire.ProvePath, cardwire.Prove{Handle: handle}, &answer); err != nil {
		return cardwire.Proved{}, err
	}
	if !opaque.MatchString(answer.Code) || (answer.Watch != "" && !opaque.MatchString(answer.Watch)) {
		return cardwire.Proved{}, &refusedError{word: "answer_malformed"}
	}
	return answer, nil
}

// Verifies checks a signature against the key of the certificate.
func Verifies(public crypto.PublicKey, digest, sig []byte, opts crypto.SignerOpts) bool {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			return rsa.VerifyPSS(key, pss.Hash, digest, sig, pss) == nil
		}
		return rsa.VerifyPKCS1v15(key, opts.HashFunc(), digest, sig) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, digest, sig)
	}
	return false
}
