package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/web"
)

// Pages draws the pages of the agent. *web.Pages is one.
type Pages interface {
	Render(w http.ResponseWriter, r *http.Request, status int, page web.Page)
	// Assets serves what the pages load, under /static/.
	Assets() http.Handler
}

// Config is what a Server needs. Cards, Pages and at least one gateway have no default.
type Config struct {
	Gateways []Gateway
	Cards    Cards
	Prompt   Prompter // nil: the PIN is asked on the agent's own page
	Pages    Pages
	Logger   *slog.Logger // nil: nothing is logged
	Version  string       // told to the gateway

	PINTimeout     time.Duration // the person's time at the PIN; default 60 s
	CardTimeout    time.Duration // of one operation of the card; default 15 s
	GatewayTimeout time.Duration // of one exchange with the gateway; default 10 s

	Now func() time.Time // nil: time.Now
}

// Bounds of a login. The gateway's own are the same or shorter.
const (
	loginTimeout = 2 * time.Minute
	outcomeKept  = 2 * time.Minute // how long the page of a login tells its end
)

// Server is the agent's loopback server: one login at a time, and a watch for each login that succeeded.
type Server struct {
	config   Config
	gateways map[string]Gateway
	log      *slog.Logger
	starts   *rate.Limiter
	own      peerCheck

	mu      sync.Mutex
	current *login // the last one that was started; nil at first
	stopped bool
	work    sync.WaitGroup // of the logins and watches; added to only under mu, while not stopped
}

// New checks the configuration and returns a Server that Serve starts.
func New(c Config) (*Server, error) {
	gateways, err := checkGateways(c.Gateways)
	if err != nil {
		return nil, err
	}
	if c.Cards == nil || c.Pages == nil {
		return nil, errors.New("agent: Cards and Pages are required")
	}
	c.PINTimeout = orDefault(c.PINTimeout, 60*time.Second)
	c.CardTimeout = orDefault(c.CardTimeout, 15*time.Second)
	c.GatewayTimeout = orDefault(c.GatewayTimeout, 10*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{
		config:   c,
		gateways: gateways,
		log:      c.Logger.With("component", "agent"),
		// A person starts a login every few seconds at most; a page that loops is slowed down here.
		starts: rate.NewLimiter(rate.Every(time.Second), 5),
		own:    ownPeer,
	}, nil
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// Serve is called once. It answers on ln until ctx ends, then ends the login in progress, releases the card and returns nil. It closes ln. Only
// 127.0.0.1 is accepted: any other address would let another machine start logins.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	addr, ok := ln.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.Equal(net.IPv4(127, 0, 0, 1)) {
		ln.Close()
		return fmt.Errorf("listen: %v is not an address of 127.0.0.1", ln.Addr())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer s.stop(cancel)

	srv := &http.Server{
		Handler:           s.handler(ctx, addr.String()),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }() // ends with Shutdown or Close below
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	if srv.Shutdown(grace) != nil {
		srv.Close()
	}
	return nil
}

// stop ends the logins and watches and waits for them; no new one begins.
func (s *Server) stop(cancel context.CancelCauseFunc) {
	cancel(errStopping)
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.work.Wait()
}

// handler routes the requests that pass the guard. Logins live as long as ctx.
func (s *Server) handler(ctx context.Context, host string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(cardwire.StartPath, func(w http.ResponseWriter, r *http.Request) { s.start(ctx, w, r) })
	mux.HandleFunc("GET "+loginPrefix+"{id}", s.page)
	mux.HandleFunc("POST "+loginPrefix+"{id}/pin", s.form((*login).takePIN))
	mux.HandleFunc("POST "+loginPrefix+"{id}/token", s.form((*login).takeToken))
	mux.HandleFunc("POST "+loginPrefix+"{id}/cancel", s.form((*login).takeCancel))
	mux.Handle("GET /static/", s.config.Pages.Assets())
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.refuse(w, r, http.StatusNotFound, "not_found") })
	return s.guard(host, mux)
}

// home is for a person who opens the agent's address by hand.
func (s *Server) home(w http.ResponseWriter, r *http.Request) {
	page := web.AgentHomePage{Version: s.config.Version}
	for _, g := range s.gateways {
		page.Gateways = append(page.Gateways, web.AgentGateway{Title: g.Title, URL: g.Origin + "/"})
	}
	slices.SortFunc(page.Gateways, func(a, b web.AgentGateway) int { return strings.Compare(a.URL, b.URL) })
	s.config.Pages.Render(w, r, http.StatusOK, page)
}

// refuse draws the error page of a request that does not belong to a login.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, code string) {
	s.config.Pages.Render(w, r, status, web.AgentErrorPage{Code: code})
}
