package agent

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
)

// Gateway is a gateway that this agent signs for, by the choice of whoever configured the workstation.
type Gateway struct {
	Name   string         // in the start request: [a-z0-9-]{1,32}
	Title  string         // shown to the person; empty: the host of Origin
	Origin string         // https://host[:port] of the auth host
	Card   string         // https://host[:port] of the card host
	Roots  *x509.CertPool // authorities of the gateway's server certificate; nil: those of the system
	Dial   string         // host:port to connect to instead of the names' addresses; empty: the names'
}

var gatewayName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// checkGateways returns the gateways by name, or everything that is wrong with them in one error.
func checkGateways(list []Gateway) (map[string]Gateway, error) {
	if len(list) == 0 {
		return nil, errors.New("no gateway: the agent would sign for nobody")
	}
	var errs []error
	byName := make(map[string]Gateway, len(list))
	for _, g := range list {
		if _, twice := byName[g.Name]; twice {
			errs = append(errs, fmt.Errorf("gateway %q: named twice", g.Name))
		}
		origin, err := g.check()
		if err != nil {
			errs = append(errs, fmt.Errorf("gateway %q: %w", g.Name, err))
			continue
		}
		if g.Title == "" {
			g.Title = origin.Host
		}
		byName[g.Name] = g
	}
	return byName, errors.Join(errs...)
}

func (g Gateway) check() (origin *url.URL, err error) {
	if !gatewayName.MatchString(g.Name) {
		return nil, errors.New("the name is not 1 to 32 of a-z, 0-9 and -")
	}
	origin, err = parseOrigin(g.Origin)
	if err != nil {
		return nil, fmt.Errorf("origin: %w", err)
	}
	if _, err := parseOrigin(g.Card); err != nil {
		return nil, fmt.Errorf("card host: %w", err)
	}
	if g.Dial != "" {
		if _, _, err := net.SplitHostPort(g.Dial); err != nil {
			return nil, fmt.Errorf("dial: %w", err)
		}
	}
	return origin, nil
}

// parseOrigin accepts https://host[:port] and nothing after it.
func parseOrigin(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || s != "https://"+u.Host {
		return nil, fmt.Errorf("%q is not https://host[:port]", s)
	}
	return u, nil
}
