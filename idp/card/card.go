// Package card is the login with a CPS or CPE card: the auth host's side of the dialogue with cardagent, the card host, and the
// browser card host.
//
//	browser           agent                    card host              auth host
//	POST /login/card ────────────────────────────────────────────────▶ login: handle, cookie
//	 ◀── 303 http://127.0.0.1/login/<name>/<handle> ──────────────────┘
//	 ───────────────▶ fetch(handle) ─────────────────────────────────▶ the login waits
//	                  PIN, card ── TLS with the card ──▶ prove(handle)
//	                  ◀──────────────── one-time code ──┘ verdict kept
//	 ◀── 303 callback/<code> ──┘
//	GET /login/card/callback/<code> ─────────────────────────────────▶ cookie and code agree: session
//
// What is proved: the TLS peer held the key of the certificate (crypto/tls has checked its signature over the handshake, and nothing
// is resumed on these hosts), and the browser that gets the session is the one that began. What the certificate is worth is the
// verdict of package certs. The agent learns nothing of the verdict; the person reads it on the gateway's own page.
//
// A Method is safe for concurrent use.
package card

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"promess/authgw/certs"
	"promess/authgw/idp"
	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/limit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// Name is the method's word.
const Name = "card"

// loginLife is how long a person has, from the login page to the signature; codeLife how long the browser has to bring the code.
const (
	loginLife = 2 * time.Minute
	codeLife  = time.Minute
)

// Config is what a Method is made of.
type Config struct {
	Server        *idp.Server
	Verifier      func() *certs.Verifier // the current one: its revocation lists are replaced while it serves
	Gateway       string                 // the name by which agents know this gateway
	AgentPort     uint16
	BrowserOrigin string // of the browser card host; empty: browsers are not offered it
	EndOnRemoval  bool   // end the session when the agent reports that the card has gone
	Store         *store.Store
	Log           *slog.Logger
	Now           func() time.Time
}

// Method is the card login.
type Method struct {
	Config
	stopping chan struct{} // closed by Stop
	limits   limit.Sources
}

var _ idp.BrowserMethod = (*Method)(nil)

// New returns the card login.
func New(c Config) *Method {
	// Beginning a login costs a row in the database and asks for no proof.
	return &Method{Config: c, stopping: make(chan struct{}), limits: limit.Sources{PerSecond: 10, AtOnce: 200}}
}

// Stop answers the agents that wait, so that a server can shut down without waiting for them. It is called once.
func (m *Method) Stop() { close(m.stopping) }

// Name implements idp.Method.
func (m *Method) Name() string { return Name }

// Routes implements idp.Method.
func (m *Method) Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /login/card", m.start)
	mux.HandleFunc("GET /login/card/wait", m.wait)
	mux.HandleFunc("GET /login/card/status", m.status)
	mux.HandleFunc("GET "+cardwire.CallbackPath+"{code}", m.callback)
	mux.HandleFunc("POST "+cardwire.FetchPath, m.fetch)
	mux.HandleFunc("POST "+cardwire.WatchPath, m.watch)
	if m.BrowserOrigin != "" {
		mux.HandleFunc("POST "+startBrowserPath, m.startBrowser)
	}
}

const startBrowserPath = "/login/card/browser"

// BrowserPath implements idp.BrowserMethod.
func (m *Method) BrowserPath() string {
	if m.BrowserOrigin == "" {
		return ""
	}
	return startBrowserPath
}

// outcome is what a settled login keeps: one of the two.
type outcome struct {
	Proof   *idp.Proof   `json:"proof,omitempty"`
	Refusal *idp.Refusal `json:"refusal,omitempty"`
}

// judge turns the certificate of a TLS connection into an outcome.
func (m *Method) judge(r *http.Request) outcome {
	m.Log.Debug("card presented", "host", r.TLS.ServerName, "tls", tls.VersionName(r.TLS.Version), "certificates", len(r.TLS.PeerCertificates))
	var verdict certs.Verdict
	var err error
	switch {
	case r.TLS.DidResume: // unreachable: card hosts give no tickets. A resumed connection proves nothing about the card now (A6)
		err = &certs.Refusal{Reason: certs.ReasonNone, Detail: "resumed connection"}
	case len(r.TLS.PeerCertificates) == 0:
		err = &certs.Refusal{Reason: certs.ReasonNone, Detail: "no certificate in the handshake"}
	default:
		verdict, err = m.Verifier().Verify(r.TLS.PeerCertificates[0].Raw)
	}
	if err != nil {
		return outcome{Refusal: refusal(verdict, err)}
	}
	h := verdict.Holder
	return outcome{Proof: &idp.Proof{
		Method: Name, ACR: idp.ACRHardware, AMR: []string{"sc", "pin", "mfa"}, Time: m.Now(), Until: verdict.NotAfter,
		IDType: h.IDType, NationalID: h.NationalID, GivenName: h.GivenName, FamilyName: h.FamilyName,
		Title: h.Title, Profession: h.ProfessionCode, CardType: h.CardType, StructureID: h.StructureID, StructureName: h.StructureName,
		Fingerprint: verdict.Fingerprint, Issuer: verdict.Issuer,
	}}
}

func refusal(v certs.Verdict, err error) *idp.Refusal {
	reason, detail := certs.ReasonMalformed, "" // an error without a reason is not a way in
	var f *certs.Refusal
	if errors.As(err, &f) {
		reason, detail = f.Reason, f.Detail
	}
	return &idp.Refusal{
		Status: http.StatusForbidden, Code: "card_" + string(reason), Reason: string(reason), Detail: detail,
		Support: idp.NewSupportCode(), Fingerprint: v.Fingerprint, Issuer: v.Issuer,
	}
}

// settle writes an outcome into the login of a handle and returns the code for the browser. watch is for the agent, and only when
// there is something to watch.
func (m *Method) settle(ctx context.Context, handle token.Hash, o outcome, watched bool) (code, watch string, err error) {
	data, err := json.Marshal(o)
	if err != nil {
		return "", "", err
	}
	code = token.New()
	codeHash, _ := token.Of(token.Code, code)
	var watchHash token.Hash
	if watched && o.Proof != nil && m.EndOnRemoval {
		watch = token.New()
		watchHash, _ = token.Of(token.Watch, watch)
	}
	now := m.Now()
	if err := m.Store.SettleLogin(ctx, handle, Name, codeHash, watchHash, data, now, now.Add(codeLife)); err != nil {
		return "", "", err
	}
	return code, watch, nil
}
