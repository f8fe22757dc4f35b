//go:build unix

package pgtest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// secure writes a certificate and its key, has the server refuse who comes by the network without TLS, and returns its arguments.
func (s *Server) secure(c tls.Certificate) ([]string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	var chain []byte
	for _, one := range c.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one})...)
	}
	args := []string{"-c", "ssl=on"}
	for name, data := range map[string][]byte{"ssl_cert_file": chain, "ssl_key_file": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		file := filepath.Join(s.dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			return nil, fmt.Errorf("pgtest: %w", err)
		}
		if s.owner != nil {
			if err := os.Chown(file, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
				return nil, fmt.Errorf("pgtest: %w", err)
			}
		}
		args = append(args, "-c", name+"="+file)
	}
	hba := filepath.Join(s.data(), "pg_hba.conf")
	rules, err := os.ReadFile(hba)
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	rules = regexp.MustCompile(`(?m)^host\b`).ReplaceAll(rules, []byte("hostssl"))
	if err := os.WriteFile(hba, rules, 0o600); err != nil { // it keeps its owner
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	return args, nil
}
