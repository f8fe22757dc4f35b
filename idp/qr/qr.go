// Package qr is the login that a phone approves, the enrolment of phones, and the phone's app at /phone.
//
//	workstation                     auth host                                phone
//	POST /login/qr ───────────────▶ login: cookie, source, 3 numbers
//	GET /login/qr ◀── QR code, a new one every 20 s ──▶ camera
//	                                claim: code right, first phone ◀───────── POST /phone/claim (code)
//	 ◀── the number ───────────────┤ service, place, browser, time, numbers ▶ the person looks
//	                                the right number, or the end ◀─────────── POST /phone/pick
//	                                challenge over login, number, origin ───▶ the passkey signs
//	                                signature right: settled ◀─────────────── POST /phone/approve
//	 ◀── "approved" ───────────────┤
//	POST /login/qr/finish ────────▶ cookie and settled login agree: session
//
// The code in the image is a keyed hash over the login and the time, so that it changes without anything being written. It stands behind
// the # of its address, which browsers send to nobody. It is good once: the phone that sends it first has the login, by a cookie of its
// own, and no other can go on. One wrong number ends the login. What opens the session is the proof that the server has recorded;
// the form that asks for it carries nothing (D9).
//
// A phone is added in the same way round: the workstation, where the person has just signed in, shows a code; the phone that sends it
// shows whose account it is and a number, which the person copies at the workstation; then the phone makes its passkey.
//
// What this does not stop is a person who is made to approve the login of somebody else, who shows them the code and the number from
// afar. The phone says where the login comes from; Networks keeps logins to networks that the operator knows, and stops it: see
// docs/threat-model.md.
//
// While a workstation waits, nothing asks the database: it hears of changes from Sessions. A Method is safe for concurrent use.
package qr

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"promess/authgw/idp"
	"promess/authgw/idp/passkey"
	"promess/authgw/internal/limit"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// Name is the method's word.
const Name = "qr"

const (
	adding    = "phone-add" // what waits under this name in logins is an enrolment
	loginLife = 2 * time.Minute
	addLife   = 5 * time.Minute
	openLife  = time.Minute // for the browser to take what was approved

	loginPath = "/login/qr"
	addPath   = "/account/phone"
	appPath   = "/phone"
)

// Config is what a Method is made of. Every field but Networks is needed.
type Config struct {
	Server      *idp.Server
	Credentials *passkey.Credentials
	Keys        *seal.Keys
	Networks    []netip.Prefix // from which a workstation may begin; none: from anywhere
	Store       *store.Store
	Log         *slog.Logger
	Now         func() time.Time
}

// Method is the login that a phone approves.
type Method struct {
	Config
	stopping chan struct{} // closed by Stop
	starts   limit.Sources // logins that begin
	claims   limit.Sources // codes that come from phones

	mu      sync.Mutex
	streams map[string]int // open event streams, by login id
	open    int            // all of them
}

var (
	_ idp.Enroller     = (*Method)(nil)
	_ idp.ChoosyMethod = (*Method)(nil)
)

// New returns the login.
func New(c Config) *Method {
	return &Method{
		Config: c, stopping: make(chan struct{}), streams: map[string]int{},
		starts: limit.Sources{PerSecond: 10, AtOnce: 200}, claims: limit.Sources{PerSecond: 10, AtOnce: 200},
	}
}

// Stop ends the event streams, so that a server can shut down without waiting for them. It is called once.
func (m *Method) Stop() { close(m.stopping) }

// Name implements idp.Method.
func (m *Method) Name() string { return Name }

// Enrolments implements idp.Enroller.
func (m *Method) Enrolments() []web.Enrolment {
	return []web.Enrolment{{Kind: string(store.Phone), Path: addPath}}
}

// Offered implements idp.ChoosyMethod: the browser is in a network from which logins begin.
func (m *Method) Offered(r *http.Request) bool {
	if len(m.Networks) == 0 {
		return true
	}
	at, err := netip.ParseAddr(idp.Source(r))
	if err != nil {
		return false // an address that cannot be read is in no network
	}
	for _, n := range m.Networks {
		if n.Contains(at.Unmap().WithZone("")) {
			return true
		}
	}
	return false
}

// Routes implements idp.Method.
func (m *Method) Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST "+loginPath, m.begin)
	mux.HandleFunc("GET "+loginPath, m.show)
	mux.HandleFunc("GET "+loginPath+"/events", m.follow(m.ofBrowser))
	mux.HandleFunc("GET "+loginPath+"/status", m.status(m.ofBrowser))
	mux.HandleFunc("POST "+loginPath+"/finish", m.finish)

	mux.HandleFunc("GET "+addPath, m.explain)
	mux.HandleFunc("POST "+addPath, m.beginAdding)
	mux.HandleFunc("GET "+addPath+"/code", m.showAdding)
	mux.HandleFunc("GET "+addPath+"/code/events", m.follow(m.ofSession))
	mux.HandleFunc("GET "+addPath+"/code/status", m.status(m.ofSession))
	mux.HandleFunc("POST "+addPath+"/confirm", m.confirm)

	mux.HandleFunc("GET "+appPath, m.app)
	mux.Handle("GET "+appPath+"/worker.js", m.Server.Pages.PhoneWorker(appPath))
	mux.HandleFunc("POST "+appPath+"/claim", m.claim)
	mux.HandleFunc("POST "+appPath+"/pick", m.pick)
	mux.HandleFunc("POST "+appPath+"/approve", m.approve)
	mux.HandleFunc("POST "+appPath+"/deny", m.deny)
	mux.HandleFunc("GET "+appPath+"/events", m.follow(m.ofPhone))
	mux.HandleFunc("GET "+appPath+"/status", m.status(m.ofPhone))
	mux.HandleFunc("POST "+appPath+"/options", m.options)
	mux.HandleFunc("POST "+appPath+"/add", m.add)
}

// app is the phone's app: the same page for everybody, so that it may be kept in the phone.
func (m *Method) app(w http.ResponseWriter, r *http.Request) {
	m.Server.Pages.Render(w, r, http.StatusOK, web.PhonePage{})
}
