package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"promess/authgw/internal/config"
)

// Status is how bad a finding is.
type Status string

// The statuses.
const (
	OK      Status = "ok"
	Warning Status = "warning" // it works, and somebody should see to it
	Error   Status = "error"   // people cannot sign in, or will not be able to
)

// Finding is the result of one check.
type Finding struct {
	Check  string `json:"check"` // what was looked at: certificate, database …
	Status Status `json:"status"`
	Text   string `json:"text"`         // what was found
	Do     string `json:"do,omitempty"` // what to do about it
}

// timeout bounds each look at something that may not answer.
const timeout = 5 * time.Second

// Config is what a Doctor is made of. Gateway is needed.
type Config struct {
	Gateway *config.Gateway
	Now     func() time.Time                                             // default time.Now
	Lookup  func(ctx context.Context, name string) ([]netip.Addr, error) // default: as this machine does
}

// doctor collects what it finds.
type doctor struct {
	Config
	now      time.Time
	findings []Finding
}

// Examine makes all checks and returns what it has found, in their order.
func Examine(ctx context.Context, c Config) []Finding {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Lookup == nil {
		c.Lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	d := &doctor{Config: c, now: c.Now()}
	d.ok("configuration", "%s is right", c.Gateway.File)
	for _, check := range []func(context.Context){
		d.names, d.certificates, d.files, d.authorities, d.lists, d.clock, d.database, d.backends, d.mail, d.admin, d.agents,
	} {
		check(ctx)
	}
	return d.findings
}

func (d *doctor) ok(check, format string, args ...any) { d.add(OK, check, "", format, args) }

func (d *doctor) warn(check, do, format string, args ...any) { d.add(Warning, check, do, format, args) }

func (d *doctor) fail(check, do, format string, args ...any) { d.add(Error, check, do, format, args) }

func (d *doctor) add(status Status, check, do, format string, args []any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ") // a finding is one line
	d.findings = append(d.findings, Finding{Check: check, Status: status, Text: text, Do: do})
}

// hosts are the names of the listener.
func (d *doctor) hosts() []string {
	names := []string{d.Gateway.Hosts.Auth, d.Gateway.Hosts.Card}
	if d.Gateway.Hosts.BrowserCard != "" {
		names = append(names, d.Gateway.Hosts.BrowserCard)
	}
	for _, s := range d.Gateway.Services {
		names = append(names, s.Host)
	}
	return names
}

// until says how long until a time, in words that fit both sides of it.
func (d *doctor) until(t time.Time) string {
	left := t.Sub(d.now)
	when := t.UTC().Format("2006-01-02 15:04 UTC")
	switch {
	case left < 0:
		return "since " + when
	case left < 48*time.Hour:
		return fmt.Sprintf("in %d hours, at %s", int(left.Hours()), when)
	}
	return fmt.Sprintf("in %d days, at %s", int(left.Hours()/24), when)
}

// Refused returns what there is to say of a configuration that is wrong: nothing else can be looked at then.
func Refused(r *config.Refused) []Finding {
	var all []Finding
	for _, p := range r.Problems {
		all = append(all, Finding{Check: "configuration", Status: Error, Text: p.String(), Do: "correct it and run this again: the other checks need it"})
	}
	return all
}
