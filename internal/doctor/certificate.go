package doctor

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"time"
)

// soon is how long before its end a certificate is worth a word: those of public authorities are renewed a month before.
const soon = 14 * 24 * time.Hour

// names resolves each host.
func (d *doctor) names(ctx context.Context) {
	for _, name := range d.hosts() {
		c, done := context.WithTimeout(ctx, timeout)
		found, err := d.Lookup(c, name)
		done()
		if err != nil || len(found) == 0 {
			d.warn("name", "give it an address in the DNS of the workstations; when only they know it, all is well", "%s is not known to this machine", name)
			continue
		}
		d.ok("name", "%s is %s", name, found[0])
	}
}

// certificates looks at the certificate of each host.
func (d *doctor) certificates(context.Context) {
	for _, pair := range d.Gateway.TLS {
		cert, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
		if err != nil { // unreachable: the configuration was read with it
			d.fail("certificate", "give the certificate and its key", "%s cannot be used with its key", pair.Cert)
			continue
		}
		d.certificate(pair.Cert, cert)
	}
}

func (d *doctor) certificate(file string, cert tls.Certificate) {
	leaf := cert.Leaf
	var covered []string
	for _, name := range d.hosts() {
		if leaf.VerifyHostname(name) == nil {
			covered = append(covered, name)
		}
	}
	const renew = "put a new one, with its key, in the place of the files; it is taken without a restart"
	switch {
	case d.now.Before(leaf.NotBefore):
		d.fail("certificate", "set the clock of this machine, or wait", "%s is good only %s", file, d.until(leaf.NotBefore))
	case d.now.After(leaf.NotAfter):
		d.fail("certificate", renew, "%s has expired, %s", file, d.until(leaf.NotAfter))
	case leaf.NotAfter.Sub(d.now) < soon:
		d.warn("certificate", renew, "%s expires %s", file, d.until(leaf.NotAfter))
	default:
		d.ok("certificate", "%s covers %d of %d names and expires %s", file, len(covered), len(d.hosts()), d.until(leaf.NotAfter))
	}
	intermediates := x509.NewCertPool()
	for _, der := range cert.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(c)
		}
	}
	if len(covered) > 0 && d.now.After(leaf.NotBefore) && d.now.Before(leaf.NotAfter) {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: covered[0], Intermediates: intermediates, CurrentTime: d.now}); err != nil {
			d.warn("certificate", "if its authority is public, append the intermediate certificates to the file; if it is your own, have the workstations trust it",
				"%s: this machine finds no way from it to an authority that it trusts", file)
		}
	}
	if _, ok := leaf.PublicKey.(*rsa.PublicKey); ok {
		d.warn("certificate", "ask for one with an EC key (P-256)", "%s has an RSA key, which costs the gateway ten times as much at each connection", file)
	}
}
