package pscstub

import (
	"crypto/subtle"
	"crypto/x509"
	"net/http"
	"net/url"
)

// authenticate returns the client of a request to the token endpoint, or nil when it does not prove who it is.
func (p *Provider) authenticate(r *http.Request) *Client {
	id, secret, basic := r.BasicAuth()
	if basic {
		// RFC 6749, section 2.3.1: both are form-encoded first.
		var errID, errSecret error
		id, errID = url.QueryUnescape(id)
		secret, errSecret = url.QueryUnescape(secret)
		if errID != nil || errSecret != nil || r.PostForm.Has("client_secret") { // section 2.3: not more than one way
			return nil
		}
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	client := p.config.client(id)
	if client == nil {
		return nil
	}
	if client.CertificateSubject != "" {
		if secret == "" && certified(client, r) {
			return client
		}
		return nil
	}
	if client.Secret == "" || subtle.ConstantTimeCompare([]byte(secret), []byte(client.Secret)) != 1 {
		return nil
	}
	return client
}

// certified reports whether the connection is that of the client's certificate (RFC 8705, section 2.1).
func certified(client *Client, r *http.Request) bool {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return false
	}
	leaf, between := r.TLS.PeerCertificates[0], x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: client.CertificateRoots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil && leaf.Subject.String() == client.CertificateSubject
}
