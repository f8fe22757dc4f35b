// Package passkey is what people prove with a key of their device (WebAuthn): the keys themselves, for a workstation and for a phone, and the
// login with one that the workstation has.
//
//	browser                                       auth host
//	GET  /account/passkey ───────────────────────▶ after a recent login
//	POST /account/passkey/options ───────────────▶ challenge, kept in the database for 5 minutes
//	     the device makes a key, its owner consents
//	POST /account/passkey ───────────────────────▶ challenge used up, key kept
//
//	POST /login/passkey ─────────────────────────▶ login: challenge, cookie, 2 minutes
//	GET  /login/passkey, the device signs
//	POST /login/passkey/finish ──────────────────▶ challenge used up; cookie, signature and key agree: session
//
// What is proved: the device of the person holds the private key of a public one that was enrolled, and the device has verified them (a
// finger, a face, a PIN), for a page of this very origin. A key is asked for no attestation: with one we would learn make and model,
// which identify people's own devices and on which no rule here depends, and phones give none for keys that they synchronise. So that a key
// cannot leave its device is what the device says, to a person who had proved who they are when they enrolled it.
//
// A key that its maker copies between devices (backup eligible) is not of one device: a login with it has two factors, and is not
// of hardware. And no login is of a higher level than the one that enrolled its key (D13).
//
// Whether a browser has a passkey is remembered in a plain cookie of it, which says yes and nothing else; it proves nothing.
//
// Credentials and Method are safe for concurrent use.
package passkey

import (
	"net/http"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/limit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// Name is the method's word.
const Name = "passkey"

// How long a person has.
const (
	LoginLife = 2 * time.Minute // to sign in
	AddLife   = 5 * time.Minute // to enrol
)

// Most is how many keys of a kind a person may have.
const Most = 10

const (
	addPath    = "/account/passkey"
	loginPath  = "/login/passkey"
	adding     = "passkey-add" // what waits under this name in logins is an enrolment
	hereCookie = "__Host-authgw-passkey"
)

// Method is the login with a passkey of the workstation.
type Method struct {
	*Credentials
	limits limit.Sources
}

var (
	_ idp.Enroller     = (*Method)(nil)
	_ idp.ChoosyMethod = (*Method)(nil)
)

// New returns the login.
func New(c *Credentials) *Method {
	return &Method{Credentials: c, limits: limit.Sources{PerSecond: 10, AtOnce: 200}}
}

// Name implements idp.Method.
func (m *Method) Name() string { return Name }

// Routes implements idp.Method.
func (m *Method) Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST "+loginPath, m.begin)
	mux.HandleFunc("GET "+loginPath, m.ask)
	mux.HandleFunc("POST "+loginPath+"/finish", m.finish)
	mux.HandleFunc("GET "+addPath, m.askNew)
	mux.HandleFunc("POST "+addPath+"/options", m.options)
	mux.HandleFunc("POST "+addPath, m.add)
}

// Enrolments implements idp.Enroller.
func (m *Method) Enrolments() []web.Enrolment {
	return []web.Enrolment{{Kind: string(store.Passkey), Path: addPath}}
}

// Offered implements idp.ChoosyMethod: this browser has had a passkey.
func (m *Method) Offered(r *http.Request) bool {
	_, err := r.Cookie(hereCookie)
	return err == nil
}

// RememberHere notes in the browser that it has a passkey, for a year.
func RememberHere(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{
		Name: hereCookie, Value: "yes", Path: "/", MaxAge: 365 * 24 * 3600, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
