package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"promess/authgw/certs"
	"promess/authgw/internal/config"
)

// Materials are the certificates and keys that a configuration names in files.
type Materials struct {
	Certificates []tls.Certificate // of the listener, each with its Leaf
	Trust        *certs.Trust
	// CRLs reads the revocation lists as they are now; it is called again whenever they may have changed.
	CRLs func() (*certs.CRLs, error)
	// Changed says whether the lists may have changed since its last call. Nil: they never do.
	Changed func() bool
	// BackendRoots are the authorities of https backends, by name of the service. A service that is not here has those of the system.
	BackendRoots map[string]*x509.CertPool
}

// LoadMaterials reads them. A file that is missing, empty or holds anything else is an error, never a reason to go on without it (A1).
func LoadMaterials(c *config.Gateway) (Materials, error) {
	m := Materials{BackendRoots: map[string]*x509.CertPool{}}
	for _, pair := range c.TLS {
		cert, err := tls.LoadX509KeyPair(pair.Cert, pair.Key) // fills in Leaf
		if err != nil {
			return Materials{}, fmt.Errorf("server certificate %s with key %s: %w", pair.Cert, pair.Key, err)
		}
		m.Certificates = append(m.Certificates, cert)
	}
	trust, err := certs.LoadTrust(c.Card.Trust, c.Card.Issuers)
	if err != nil {
		return Materials{}, err
	}
	m.Trust = trust
	m.CRLs = func() (*certs.CRLs, error) { return certs.LoadCRLs(trust, c.Card.CRLs) }
	m.Changed = newFileWatch(c.Card.CRLs).changed
	for _, s := range c.Services {
		if s.BackendCA == "" {
			continue
		}
		pem, err := os.ReadFile(s.BackendCA)
		if err != nil {
			return Materials{}, fmt.Errorf("authorities of the backend of %q: %w", s.Name, err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return Materials{}, fmt.Errorf("authorities of the backend of %q: %s holds no certificate in PEM", s.Name, s.BackendCA)
		}
		m.BackendRoots[s.Name] = pool
	}
	return m, nil
}

// fileWatch notices that files were replaced, by their size and time. It is used by one goroutine.
type fileWatch struct {
	files []string
	seen  []os.FileInfo // nil: could not be read
}

func newFileWatch(files []string) *fileWatch {
	w := &fileWatch{files: files, seen: make([]os.FileInfo, len(files))}
	w.changed()
	return w
}

func (w *fileWatch) changed() bool {
	changed := false
	for i, file := range w.files {
		now, err := os.Stat(file)
		if err != nil {
			now = nil
		}
		old := w.seen[i]
		if (old == nil) != (now == nil) || now != nil && (now.Size() != old.Size() || !now.ModTime().Equal(old.ModTime())) {
			changed = true
		}
		w.seen[i] = now
	}
	return changed
}
