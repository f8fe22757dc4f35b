package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"promess/authgw/certs"
	"promess/authgw/idp"
	"promess/authgw/idp/oidc"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/config"
	"promess/authgw/internal/keyring"
	"promess/authgw/internal/metrics"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/store"
	"promess/authgw/internal/vhost"
	"promess/authgw/internal/web"
	"promess/authgw/proxy"
)

// product is what people know the gateway as.
const product = "ProMess"

const (
	// Grace is how long requests may finish when the gateway stops.
	Grace = 10 * time.Second

	sweepPeriod = 10 * time.Minute
	sweepAfter  = 24 * time.Hour // what is over is kept for a day, for whoever asks what happened
)

// Config is what a Gateway is made of. The first two and Log are needed.
type Config struct {
	Gateway   *config.Gateway
	Materials Materials
	Audit     io.Writer // gets a copy of the audit events, JSON lines; nil: nobody does
	Log       *slog.Logger
	Now       func() time.Time // default time.Now
	Version   string           // of the program, for the metrics
	// HashCommand starts a process that computes the hashes of passwords (password.Serve). Empty: the gateway's own does.
	HashCommand []string
	// Prepare is called with the open database before anything uses it: the demonstration puts its persons there. Nil: nothing is prepared.
	Prepare func(context.Context, *store.Store) error
	// Load reads the configuration and its materials again, when their files have changed and at a Hangup. Nil: only the revocation
	// lists are read again.
	Load   func() (*config.Gateway, Materials, error)
	Hangup <-chan os.Signal // SIGHUP; may be nil
	// ClientRoots are the authorities of clients' certificates, where the gateway calls them. Nil: those of the system.
	ClientRoots *x509.CertPool
}

// Gateway is a gateway that can run.
type Gateway struct {
	store    *store.Store
	sessions *idp.Sessions
	audit    *audit.Log
	judge    *judge
	ring     *keyring.Ring
	keys     *idp.Keys
	clients  *client.Registry // of the OpenID provider
	metrics  *metrics.Metrics
	outbox   *outbox.Outbox
	back     *oidc.BackChannel
	server   *vhost.Server
	parts    atomic.Pointer[parts]
	replaced chan struct{}          // gets a value when parts are
	failure  atomic.Pointer[string] // why what is on disk is not in force; nil: it is
	made     Config
	log      *slog.Logger
	now      func() time.Time

	reading               sync.Mutex // held while files are looked at and read
	settled, listsSettled settling

	swap    sync.Mutex // held while parts are replaced, for a moment
	stopped bool
}

// New opens the database and puts the parts together. Run or Close must follow.
func New(ctx context.Context, c Config) (*Gateway, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	st, err := OpenStore(ctx, c.Gateway, c.Log)
	if err != nil {
		return nil, err
	}
	if c.Prepare != nil {
		if err := c.Prepare(ctx, st); err != nil {
			st.Close()
			return nil, fmt.Errorf("prepare database: %w", err)
		}
	}
	g := &Gateway{replaced: make(chan struct{}, 1), store: st, log: c.Log, now: c.Now, made: c}
	g.metrics = metrics.New(c.Version, observed{g}, c.Now)
	g.outbox = g.newOutbox()
	g.audit, err = OpenAudit(ctx, c.Gateway, audit.Config{Store: st, Lines: &eventWriter{to: c.Audit, see: g.metrics.Event}, Log: c.Log, Now: c.Now})
	if err != nil {
		st.Close()
		return nil, err
	}
	g.sessions = idp.NewSessions(idp.SessionsConfig{
		Store: st, Idle: c.Gateway.Session.Idle, Absolute: c.Gateway.Session.Absolute, Grace: c.Gateway.DatabaseGrace, Now: c.Now,
		Ended: g.sessionOver,
	})
	g.clients = client.NewRegistry(st, c.Now)
	g.sessions.OnChange(store.ClientChanged, g.clients.Forget)
	if err := g.assemble(c); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// Close releases what New has opened, when Run was not called.
func (g *Gateway) Close() error {
	g.audit.Close() // first: it writes to the store
	return g.store.Close()
}

func (g *Gateway) assemble(c Config) (err error) {
	g.judge = &judge{audit: g.audit, log: c.Log, now: c.Now}
	if err := g.openRing(c); err != nil {
		return err
	}
	g.back = g.newBackChannel(c)
	p, err := g.build(c)
	if err != nil {
		return err
	}
	if g.server, err = vhost.New(p.hosts); err != nil {
		return err
	}
	g.judge.use(p.verdicts)
	g.useMail(p.registration)
	g.clients.Use(c.Materials.Clients, c.Gateway.Own())
	g.parts.Store(p)
	g.metrics.Loaded(c.Now())
	return nil
}

// provider makes the auth host with its pages.
func (g *Gateway) provider(c Config) (*idp.Server, error) {
	origin := c.Gateway.Origin(c.Gateway.Hosts.Auth)
	// A form of the auth host may end up, by redirects, at the agent, at the browser card host, at a service, or at Pro Santé
	// Connect.
	forms := []string{fmt.Sprintf("http://127.0.0.1:%d", c.Gateway.AgentPort)}
	if o := browserOrigin(c.Gateway); o != "" {
		forms = append(forms, o)
	}
	forms = append(forms, pscOrigins(c.Gateway.PSC)...)
	var services []idp.Service
	for _, s := range c.Gateway.Services {
		o := c.Gateway.Origin(s.Host)
		forms = append(forms, o)
		services = append(services, idp.Service{
			Name: s.Name, Host: s.Host, Origin: o, Title: s.Title, Description: s.Description, Home: s.Home, Logo: c.Materials.Logos[s.Name], Rule: rule(s.Allow), Proxies: s.Proxies,
		})
	}
	site := web.Site{
		Name: product, SupportPhone: c.Gateway.Support.Phone, SupportMail: c.Gateway.Support.Mail, FormAction: forms, Log: c.Log,
	}
	pages, err := web.NewPages(site)
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	site.Origin, site.AssetsPath, site.SignOut = origin, idp.ServiceAssets, idp.ServiceSignOut
	servicePages, err := web.NewPages(site)
	if err != nil {
		return nil, fmt.Errorf("pages of services: %w", err)
	}
	registration, err := g.registration(c, site.Name)
	if err != nil {
		return nil, err
	}
	guard, err := g.throttle(c)
	if err != nil {
		return nil, err
	}
	var browsers idp.Browsers
	if guard != nil {
		browsers = guard
	}
	return idp.New(idp.Config{
		Host: c.Gateway.Hosts.Auth, Origin: origin, Services: services, Sessions: g.sessions,
		Keys:  g.keys,
		Store: g.store, Audit: g.audit, Pages: pages, ServicePages: servicePages, Log: c.Log, Now: c.Now,
		CreateAccounts: c.Gateway.Accounts.Create, Registration: registration, Browsers: browsers,
	})
}

func rule(a config.Allow) idp.Rule {
	levels := map[string]string{"hardware": idp.ACRHardware, "two_factor": idp.ACRTwoFactor}
	return idp.Rule{Professions: a.Professions, CardTypes: a.CardTypes, Structures: a.Structures, ACR: levels[a.Level]}
}

func browserOrigin(g *config.Gateway) string {
	if g.Hosts.BrowserCard == "" {
		return ""
	}
	return g.Origin(g.Hosts.BrowserCard)
}

// serviceHost is one service behind its gate.
func (g *Gateway) serviceHost(c Config, gate *idp.Gate) (vhost.Host, error) {
	for _, s := range c.Gateway.Services {
		if s.Name != gate.Service().Name {
			continue
		}
		if s.Backend == nil { // another proxy forwards to it, and has the gateway's own pages there from here
			return vhost.Host{Name: s.Host, Handler: gate.Handler(http.HandlerFunc(gate.NotHere))}, nil
		}
		p, err := proxy.New(proxy.Config{
			Service: s.Name, Origin: gate.Service().Origin, Backend: s.Backend, Roots: c.Materials.BackendRoots[s.Name], Gate: gate, Log: c.Log,
			Observe: g.metrics.Requests(s.Name),
		})
		return vhost.Host{Name: s.Host, Handler: gate.Handler(p)}, err
	}
	return vhost.Host{}, errors.New("a gate without its service") // unreachable: the gates are made from the services
}

// cardIssuers are the authorities that a client is told to have a card of.
func cardIssuers(trust *certs.Trust) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, a := range trust.Authorities() {
		if a.IssuesCards {
			pool.AddCert(a.Certificate)
		}
	}
	return pool
}

// Run serves on listener, and on admin unless it is nil, until ctx ends or something fails, and releases everything. It closes both.
func (g *Gateway) Run(ctx context.Context, listener, admin net.Listener) error {
	defer g.Close()
	g.judge.logTrust()
	if err := g.audit.Record(audit.Event{Kind: audit.ConfigLoaded, Outcome: "success"}); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.server.Serve(ctx, listener, Grace) })
	if admin != nil {
		group.Go(func() error { return serveAdmin(ctx, admin, g.adminHandler(), g.log) })
	}
	group.Go(func() error { g.keep(ctx); return nil })
	group.Go(func() error { g.sweep(ctx); return nil })
	group.Go(func() error { g.runPSC(ctx); return nil })
	group.Go(func() error { g.sessions.Run(ctx, g.log); return nil })
	group.Go(func() error { g.outbox.Run(ctx); return nil })
	group.Go(func() error { g.back.Run(ctx); return nil })
	group.Go(func() error { g.ring.Run(ctx, g.log); return nil })
	stop := context.AfterFunc(ctx, g.stop)
	defer stop()
	return group.Wait()
}

// sessionOver records that a session has ended because its time was over.
func (g *Gateway) sessionOver(v store.EndedSession) {
	err := g.audit.Record(audit.Event{Kind: audit.SessionEnded, Reason: v.Reason, Subject: v.Subject, Session: v.ID, Method: v.Method})
	if err != nil {
		g.log.Error("audit event lost", "kind", string(audit.SessionEnded), "error", err)
	}
}

// sweep forgets what has long been over.
func (g *Gateway) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := g.store.Sweep(ctx, g.now().Add(-sweepAfter)); err != nil && ctx.Err() == nil {
			g.log.Error("database not swept", "error", err)
		}
	}
}
