package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// readiness is the answer of /readyz. It names no person and no secret.
type readiness struct {
	Ready    bool     `json:"ready"`
	Problems []string `json:"problems"`           // never null
	PSC      string   `json:"psc,omitempty"`      // how it is with Pro Santé Connect, where it is offered; others ways in do not need it
	Warnings []string `json:"warnings,omitempty"` // what somebody should see to, though people can sign in
}

// adminHandler answers health questions: /healthz says that the process lives, /readyz that it can sign people in, or why
// not, /metrics what it does.
func (g *Gateway) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /metrics", g.metrics.Handler(g.log))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ready := g.ready(r.Context())
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !ready.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		json.NewEncoder(w).Encode(ready)
	})
	return mux
}

func (g *Gateway) ready(ctx context.Context) readiness {
	ctx, done := context.WithTimeout(ctx, databasePatience)
	defer done()
	v := readiness{Problems: append([]string{}, g.judge.problems()...)}
	if g.server.Stopped() {
		v.Problems = append(v.Problems, "the listener takes no connections")
	}
	for _, c := range g.parts.Load().certificates {
		if g.now().After(c.NotAfter) {
			v.Problems = append(v.Problems, "the server certificate of "+c.Host+" was good until "+c.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	if why := g.failure.Load(); why != nil {
		v.Warnings = append(v.Warnings, "the configuration on disk is refused, the one before is in force: "+*why)
	}
	if why := g.judge.failure.Load(); why != nil {
		v.Warnings = append(v.Warnings, "the revocation lists on disk are refused, those before are in force: "+*why)
	}
	if m := g.parts.Load().psc; m != nil {
		v.PSC = m.State()
	}
	if err := g.store.Ping(ctx); err != nil {
		v.Problems = append(v.Problems, "the database does not answer")
	}
	v.Ready = len(v.Problems) == 0
	return v
}

// serveAdmin answers on l until ctx ends.
func serveAdmin(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
