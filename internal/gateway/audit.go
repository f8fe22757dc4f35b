package gateway

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/config"
)

// OpenAudit opens the audit trail as a configuration says. Of a, Store and Log are needed. Close must follow, before that of the store.
func OpenAudit(ctx context.Context, c *config.Gateway, a audit.Config) (*audit.Log, error) {
	a.InsecureAllowLoss = !c.Audit.Required
	if c.Audit.Syslog != nil {
		a.Syslog = &audit.Syslog{URL: c.Audit.Syslog}
		if c.Audit.SyslogCA != "" {
			pem, err := os.ReadFile(c.Audit.SyslogCA)
			if err != nil {
				return nil, fmt.Errorf("authorities of the syslog server: %w", err)
			}
			a.Syslog.Roots = x509.NewCertPool()
			if !a.Syslog.Roots.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("authorities of the syslog server: %s holds no certificate in PEM", c.Audit.SyslogCA)
			}
		}
	}
	return audit.Open(ctx, a)
}
