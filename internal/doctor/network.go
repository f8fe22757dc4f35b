package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/config"
)

// backends connects to each service.
func (d *doctor) backends(ctx context.Context) {
	for _, s := range d.Gateway.Services {
		if s.Backend == nil {
			continue // another proxy's
		}
		if err := d.backend(ctx, s); err != nil {
			d.fail("backend", "see that the service runs and that this machine may reach it", "%s at %s: %v", s.Name, s.Backend, err)
			continue
		}
		d.ok("backend", "%s answers at %s", s.Name, s.Backend)
	}
}

func (d *doctor) backend(ctx context.Context, s config.Service) error {
	address := s.Backend.Host
	if s.Backend.Port() == "" {
		address = net.JoinHostPort(s.Backend.Hostname(), map[string]string{"http": "80", "https": "443"}[s.Backend.Scheme])
	}
	if s.Backend.Scheme == "http" {
		conn, err := dial(ctx, address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	roots, err := authorities(s.BackendCA)
	if err != nil {
		return err
	}
	conn, err := dialTLS(ctx, address, s.Backend.Hostname(), roots)
	if err != nil {
		return err
	}
	return conn.Close()
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: timeout}).DialContext(ctx, "tcp", address)
}

func dialTLS(ctx context.Context, address, name string, roots *x509.CertPool) (net.Conn, error) {
	ctx, done := context.WithTimeout(ctx, timeout)
	defer done()
	return (&tls.Dialer{Config: &tls.Config{ServerName: name, RootCAs: roots, MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", address)
}

// authorities reads a file of them; nil, those of the system, without a file.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}

// admin looks at who may reach the admin listener, and asks a gateway that runs.
func (d *doctor) admin(ctx context.Context) {
	address := d.Gateway.Admin
	if !address.IsValid() {
		d.warn("admin", "set admin to an address of loopback", "the admin listener is off: nobody can watch the gateway")
		return
	}
	if !address.Addr().IsLoopback() {
		d.warn("admin", "see that only the management network reaches it: it asks for no password", "the admin listener is at %s", address)
	} else {
		d.ok("admin", "only this machine reaches the admin listener, %s", address)
	}
	problems, err := d.readiness(ctx, "http://"+address.String()+"/readyz")
	switch {
	case err != nil:
		d.warn("running", "systemctl start authgw", "no gateway answers at %s", address)
	case len(problems) > 0:
		d.fail("running", "see what the checks above say", "the gateway that runs says: %s", strings.Join(problems, "; "))
	default:
		d.ok("running", "the gateway runs and is ready")
	}
}

func (d *doctor) readiness(ctx context.Context, address string) (problems []string, err error) {
	ctx, done := context.WithTimeout(ctx, timeout)
	defer done()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var v struct{ Problems, Warnings []string }
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<16)).Decode(&v); err != nil {
		return nil, err
	}
	return append(v.Problems, v.Warnings...), nil
}

// agents says where agents are expected: they are on other machines.
func (d *doctor) agents(context.Context) {
	if d.Gateway.AgentPort != cardwire.DefaultAgentPort {
		d.warn("agent", "see that each cardagent.yaml has this port too", "agents are expected at port %d of each workstation, which is not the usual %d",
			d.Gateway.AgentPort, cardwire.DefaultAgentPort)
		return
	}
	d.ok("agent", "agents are expected at port %d of each workstation, the usual one", d.Gateway.AgentPort)
}
