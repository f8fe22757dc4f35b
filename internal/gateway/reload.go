package gateway

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/config"
)

// pollPeriod is how often the files are looked at. What has changed is read when it is still at the next look.
const pollPeriod = 2 * time.Second

// keep reads what has changed on disk until ctx ends, and everything when it is told to.
func (g *Gateway) keep(ctx context.Context) {
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.made.Hangup: // nil, when nobody tells: never
			g.reload()
		case <-tick.C:
			g.poll(false)
		}
	}
}

// poll looks at the files. What was refused is tried again each time: a file that could not be read may be readable now, which it does
// not show. With at once, what has changed is not waited for.
func (g *Gateway) poll(atOnce bool) {
	g.reading.Lock()
	defer g.reading.Unlock()
	m := g.parts.Load().materials
	changed := m.files != nil && g.made.Load != nil && m.files.changed()
	if g.settled.done(changed) || atOnce && (changed || g.settled.pending()) || g.failure.Load() != nil {
		g.read()
		return
	}
	changed = m.Changed != nil && m.Changed()
	if g.listsSettled.done(changed) || atOnce && (changed || g.listsSettled.pending()) || g.judge.failure.Load() != nil {
		g.listsSettled = settling{}
		g.judge.refresh()
	}
}

// reload reads everything, changed or not.
func (g *Gateway) reload() {
	g.reading.Lock()
	defer g.reading.Unlock()
	if g.made.Load == nil {
		g.judge.refresh()
		return
	}
	g.failure.Store(nil) // who asks is told again
	g.read()
}

// read reads the configuration with all that it names and puts it into force, all of it or nothing.
func (g *Gateway) read() {
	g.settled, g.listsSettled = settling{}, settling{}
	next, err := g.next()
	if err == nil {
		err = g.useSealKeys(next.materials.SealKeys)
	}
	if err == nil {
		err = g.install(next)
	}
	if err != nil {
		g.refused(err)
		return
	}
	g.failure.Store(nil)
	g.metrics.Reloaded(true, g.now())
	g.log.Info("configuration reloaded", "file", next.config.File, "services", len(next.config.Services))
	g.judge.record(audit.Event{Kind: audit.ConfigLoaded, Outcome: "success", Detail: "reload"})
	g.judge.logTrust()
}

// refused says loudly, once for each reason, that what is on disk is not in force.
func (g *Gateway) refused(err error) {
	text := err.Error()
	old := g.failure.Swap(&text)
	g.metrics.Reloaded(false, g.now())
	if old != nil && *old == text {
		return
	}
	problems := []string{text}
	var wrong *config.Refused
	if errors.As(err, &wrong) {
		problems = strings.Split(wrong.Lines(), "\n")
	}
	g.log.Error("NEW CONFIGURATION REFUSED, ALL OF THE OLD ONE STAYS IN FORCE", "problems", problems)
	g.judge.record(audit.Event{Kind: audit.ConfigLoaded, Outcome: "refused", Reason: "reload_failed"})
}

// next makes the parts of what is on disk now.
func (g *Gateway) next() (*parts, error) {
	c := g.made
	var err error
	if c.Gateway, c.Materials, err = g.made.Load(); err != nil {
		return nil, err
	}
	if keys := needRestart(g.parts.Load().config, c.Gateway); len(keys) > 0 {
		return nil, fmt.Errorf("%s: a change of it takes a restart; restart authgw, or give back what was there", strings.Join(keys, ", "))
	}
	return g.build(c)
}

// install puts parts in the place of those in force.
func (g *Gateway) install(p *parts) (err error) {
	defer func() {
		if err != nil {
			p.release()
		}
	}()
	g.swap.Lock()
	defer g.swap.Unlock()
	if g.stopped {
		return errors.New("the gateway is stopping")
	}
	if err := g.server.Replace(p.hosts); err != nil {
		return err
	}
	g.judge.use(p.verdicts)
	g.useMail(p.registration)
	g.clients.Use(p.materials.Clients, p.config.Own())
	g.sessions.SetLimits(p.config.Session.Idle, p.config.Session.Absolute)
	old := g.parts.Swap(p)
	select {
	case g.replaced <- struct{}{}:
	default: // it has been told, and has not looked yet
	}
	old.stop() // agents that wait for an answer ask the new one
	return nil
}

// stop answers agents and workstations that wait for a phone: they hold requests open for longer than the grace.
func (g *Gateway) stop() {
	g.swap.Lock()
	defer g.swap.Unlock()
	g.stopped = true
	g.parts.Load().stop()
}

// needRestart names the keys at the top of a configuration that differ in what a running gateway cannot take. A key that is not known
// here is one of them.
func needRestart(old, next *config.Gateway) []string {
	reloadable := []string{"File", "Name", "AgentPort", "TLS", "Card", "Services", "Session", "Accounts", "Support", "Mail", "SealKeys", "Passwords", "OTP", "Passkeys", "Phone", "PSC", "Clients"}
	a, b := reflect.ValueOf(old).Elem(), reflect.ValueOf(next).Elem()
	var keys []string
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if !slices.Contains(reloadable, name) && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			keys = append(keys, keyOf(name))
		}
	}
	return keys
}

// keyOf is the key of a field in the file: public_port for PublicPort.
func keyOf(field string) string {
	var b strings.Builder
	for i, c := range field {
		if unicode.IsUpper(c) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
