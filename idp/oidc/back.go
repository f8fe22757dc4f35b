package oidc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	lib "github.com/zitadel/oidc/v3/pkg/oidc"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/limit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/vhost"
)

// Bounds of a request on the host of client certificates; those of the auth host are its own.
const (
	maxBody     = 64 << 10
	bodyTimeout = 10 * time.Second
)

// back is what the endpoints have in common that clients call, and no browser.
type back struct {
	cache    *cache
	refused  limit.Sources // refusals that are recorded
	unproved limit.Sources // clients that did not prove themselves
	stop     []func()
}

// hear begins to keep tokens in memory, and to drop them when what they stand for ends anywhere.
func (p *Provider) hear() {
	s := p.Server.Sessions
	p.back.cache = newCache()
	p.back.refused = limit.Sources{PerSecond: 0.2, AtOnce: 100}
	p.back.unproved = limit.Sources{PerSecond: 1, AtOnce: 100}
	p.back.stop = []func(){
		s.OnEnd(p.back.cache.dropSession),
		s.OnChange(store.GrantEnded, p.back.cache.dropGrant),
		s.OnChange(store.GrantsEnded, p.back.cache.dropClient),
		s.OnChange(store.ClientChanged, p.back.cache.dropClient),
	}
}

// Close lets go of what a provider holds that another has taken the place of. It answers still, for requests that are under way.
func (p *Provider) Close() {
	for _, stop := range p.back.stop {
		stop()
	}
	p.back.cache.close()
}

// backRoutes are those that clients call.
func (p *Provider) backRoutes(mux *http.ServeMux) {
	p.provedRoutes(mux)
	mux.HandleFunc(userinfoPath, p.userinfo)
}

// provedRoutes are those of them at which a client proves itself.
func (p *Provider) provedRoutes(mux *http.ServeMux) {
	mux.HandleFunc(tokenPath, p.posted(p.token))
	mux.HandleFunc(introspectPath, p.posted(p.introspect))
	mux.HandleFunc(revokePath, p.posted(p.revoke))
	mux.HandleFunc(parPath, p.posted(p.push))
	mux.HandleFunc(devicePath, p.posted(p.deviceAuthorization))
}

// certHost marks requests on the host of client certificates.
type certHost struct{}

// ClientCertHost returns the handler of a host that asks for a TLS client certificate: the endpoints at which a client proves itself, for those
// that do it so (RFC 8705, section 5). Browsers never come there, and are never asked for a certificate elsewhere.
func (p *Provider) ClientCertHost() http.Handler {
	mux := http.NewServeMux()
	p.provedRoutes(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusNotFound, map[string]string{"error": "invalid_request", "error_description": "no such endpoint"})
	})
	return vhost.LimitBody(maxBody, bodyTimeout, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), certHost{}, true)))
	}))
}

// posted answers requests of another method than POST.
func (p *Provider) posted(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			reply(w, http.StatusMethodNotAllowed, map[string]string{"error": "invalid_request", "error_description": "POST it"})
			return
		}
		next(w, r)
	}
}

// formOf reads the parameters of a POST, once.
func formOf(r *http.Request) (url.Values, error) {
	if r.PostForm != nil {
		return r.PostForm, nil
	}
	form, err := parameters(r)
	if err != nil {
		return nil, err
	}
	r.PostForm = form
	return form, nil
}

// denial is an error as a client is told it at the endpoints that it calls (RFC 6749, section 5.2).
type denial struct {
	code        string
	description string // for its developer: a text of ours in ASCII
	reason      string // a word, for the audit; empty: the code
	client      string // that was refused; empty: nobody knows
	waits       bool   // it is no refusal, and nothing to record: a device is to ask again
}

func (d *denial) Error() string { return d.code + ": " + d.description }

// Codes of denials.
const (
	invalidRequest     = "invalid_request"
	invalidClient      = "invalid_client"
	invalidGrant       = "invalid_grant"
	invalidScope       = "invalid_scope"
	unauthorizedClient = "unauthorized_client"
	unsupportedGrant   = "unsupported_grant_type"
)

// reply writes JSON that nobody keeps.
func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	replyJSON(w, status, body)
}

func replyJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache") // RFC 6749, section 5.1
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // who has gone misses it
}

// deny tells a client why not: a denial, what the library or the form says, or that something of ours failed.
func (p *Provider) deny(w http.ResponseWriter, r *http.Request, err error) {
	var d *denial
	var m malformed
	var l *lib.Error
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &d):
	case errors.As(err, &m):
		d = &denial{code: invalidRequest, description: string(m), reason: "malformed"}
	case errors.As(err, &large):
		d = &denial{code: invalidRequest, description: "the request is too large", reason: "malformed"}
	case errors.As(err, &l) && l.ErrorType != lib.ServerError:
		d = &denial{code: string(l.ErrorType), description: l.Description}
	default:
		p.fault(w, r, err)
		return
	}
	status := http.StatusBadRequest
	source := idp.Source(r)
	if d.code == invalidClient {
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Basic realm="`+p.Issuer+`"`)
		if !p.back.unproved.Allow(source, p.Now()) {
			w.Header().Set("Retry-After", "5")
			reply(w, http.StatusTooManyRequests, map[string]string{"error": d.code, "error_description": "too many attempts"})
			return
		}
	}
	if !d.waits {
		p.recordDenial(source, d)
	}
	reply(w, status, map[string]string{"error": d.code, "error_description": d.description})
}

// recordDenial records that a client was refused: a hundred of each network, and then one in five seconds.
func (p *Provider) recordDenial(source string, d *denial) {
	if !p.back.refused.Allow(source, p.Now()) {
		p.Log.Debug("refusal not recorded: there are too many", "client", d.client, "error", d)
		return
	}
	p.Server.Record(audit.Event{Kind: audit.ClientRefused, Outcome: "refused", Reason: cmp.Or(d.reason, d.code), Client: d.client, Source: source, Detail: d.description})
}

// fault answers a request that failed for a reason of ours.
func (p *Provider) fault(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the client has gone
	}
	support := idp.NewSupportCode()
	p.Log.Error("request failed", "operation", r.URL.Path, "error", err, "support", support)
	w.Header().Set("Retry-After", "5")
	reply(w, http.StatusServiceUnavailable, map[string]string{"error": "temporarily_unavailable", "error_description": "support code " + support})
}

// endFamily ends a grant with all that was given with it, for a reason that the audit keeps.
func (p *Provider) endFamily(ctx context.Context, source string, g store.Grant, reason string) error {
	err := p.Store.EndGrant(context.WithoutCancel(ctx), g.ID, p.Now()) // once begun, whoever goes away
	p.back.cache.dropGrant(g.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil // it was over
	}
	if err == nil {
		p.recordEnd(source, g, reason)
	}
	return err
}

func (p *Provider) recordEnd(source string, g store.Grant, reason string) {
	p.Server.Record(audit.Event{Kind: audit.GrantEnded, Reason: reason, Client: g.Client, Session: g.Session, Source: source})
}
