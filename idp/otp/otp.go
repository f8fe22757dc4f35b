// Package otp is the login with a password and a second factor that needs no hardware: a code by mail, by an app, or from a sheet of
// recovery codes; and the pages of the account where the password, the app and the sheet are enrolled.
//
//	browser                                            auth host
//	POST /login/otp (a button) ──────────────────────▶ GET /login/otp: identifier and password
//	POST /login/otp/password ────────────────────────▶ throttle, Argon2id; nobody learns whether the account exists
//	                                                    right: login row {subject, tries}, bound to the browser by its cookie
//	GET  /login/otp/code ────────────────────────────▶ the ways that this person has: never before the password
//	POST /login/otp/mail ────────────────────────────▶ a code to the address of the record, through the queue
//	GET  /login/otp/code?way=mail|totp|recovery ─────▶ a field for it
//	POST /login/otp/code/mail|totp|recovery ─────────▶ throttle, a try of the login, the code used up, the login used up: session
//
// That the password was right is in the login row, and nowhere in what the browser sends; that the second factor was right is nowhere at
// all, since the same request that proves it uses the login up. So going back, reloading, starting again or taking another way can lose the
// first proof, and never the second (D5, D8). Each code is good once: the store says to one request alone that it was not used (D3).
//
// One throttle counts the failures of all that can be guessed, by account and not by identifier (D4). The codes by mail and of the sheet
// are kept as keyed hashes, the seeds of apps sealed; what opens them is not in the database. A login gives the level of two factors, or
// that of the weakest login that enrolled what was used (D13).
//
// Who has no other way in is invited by an administrator: a link goes to the address of the record, a code is told by voice, and both
// together set a password, and nothing else. They sign nobody in, so the second factor is asked for as ever (D11).
//
// A Method never sends anything to an address from a request, and never logs an identifier, a password or a code. It is safe for
// concurrent use.
package otp

import (
	"net/http"
	"time"

	"promess/authgw/idp"
	"promess/authgw/idp/throttle"
	"promess/authgw/internal/password"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/web"
)

// Name is the method's word.
const Name = "otp"

const (
	loginLife = 10 * time.Minute // from the password to the second factor, or from the last code that was mailed
	loginMost = 30 * time.Minute // from the password to the second factor
	loginTry  = 10               // wrong codes of a login, of whatever kind, before it takes the password again

	base         = "/login/otp"
	passwordPath = "/account/password"
	totpPath     = "/account/totp"
	recoveryPath = "/account/recovery"
)

// Config is what a Method is made of.
type Config struct {
	Server   *idp.Server // with Registration where codes go by mail
	Hasher   *password.Hasher
	Familiar *password.Hasher // for those whom no flood of strangers is to crowd out: signed in, invited, or from a browser that knows them
	Policy   password.Policy
	Throttle *throttle.Throttle
	Keys     *seal.Keys
	Issuer   string // as apps name the gateway, and no other of the same person; ASCII, without a colon

	MailCode, TOTP, Recovery bool // the second factors that are offered
}

// Method is the login with a password and a second factor.
type Method struct{ Config }

var (
	_ idp.Enroller      = (*Method)(nil)
	_ idp.LimitedMethod = (*Method)(nil)
)

// New returns the login.
func New(c Config) *Method { return &Method{c} }

// Name implements idp.Method.
func (m *Method) Name() string { return Name }

// Routes implements idp.Method.
func (m *Method) Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST "+base, m.begin)
	mux.HandleFunc("GET "+base, m.ask)
	mux.HandleFunc("POST "+base+"/password", m.submitPassword)
	mux.HandleFunc("GET "+base+"/code", m.askCode)
	mux.HandleFunc("POST "+base+"/code/{way}", m.submitCode)
	mux.HandleFunc("POST "+base+"/mail", m.sendMail)

	mux.HandleFunc("GET "+invitationPath+"{token}", m.askInvited)
	mux.HandleFunc("POST "+invitationPath+"{token}", m.acceptInvitation)

	mux.HandleFunc("GET "+passwordPath, m.choosePassword)
	mux.HandleFunc("POST "+passwordPath, m.setPassword)
	if m.TOTP {
		mux.HandleFunc("GET "+totpPath, m.showSeed)
		mux.HandleFunc("POST "+totpPath, m.confirmSeed)
	}
	if m.Recovery {
		mux.HandleFunc("GET "+recoveryPath, m.offerCodes)
		mux.HandleFunc("POST "+recoveryPath, m.makeCodes)
	}
}

// Enrolments implements idp.Enroller.
func (m *Method) Enrolments() []web.Enrolment {
	all := []web.Enrolment{{Kind: "password", Path: passwordPath}}
	if m.TOTP {
		all = append(all, web.Enrolment{Kind: "totp", Path: totpPath})
	}
	if m.Recovery {
		all = append(all, web.Enrolment{Kind: "recovery", Path: recoveryPath})
	}
	return all
}

// MostACR implements idp.LimitedMethod.
func (m *Method) MostACR() string { return idp.ACRTwoFactor }

// begin is the button of the login page. The form is at an address that can be reloaded.
func (m *Method) begin(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, base, http.StatusSeeOther)
}
