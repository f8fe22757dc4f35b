package qr

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"promess/authgw/idp"
	"promess/authgw/idp/passkey"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// phoneCookie ties what a phone has claimed to its browser: the hash of the login's handle, which opens nothing, and a token. It is Strict:
// nothing but the app's own page brings it.
const phoneCookie = "__Host-authgw-phone"

func setPhoneCookie(w http.ResponseWriter, handle token.Hash, secret string) {
	http.SetCookie(w, &http.Cookie{
		Name: phoneCookie, Value: base64.RawURLEncoding.EncodeToString(handle[:]) + "." + secret, Path: "/",
		MaxAge: int(addLife / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// phoneOf returns the handle and the hash of the token in a phone's cookie.
func phoneOf(r *http.Request) (handle token.Hash, phone string, ok bool) {
	cookies := r.CookiesNamed(phoneCookie)
	if len(cookies) != 1 || len(cookies[0].Value) != 2*token.Len+1 {
		return handle, "", false
	}
	id, secret := cookies[0].Value[:token.Len], cookies[0].Value[token.Len+1:]
	if n, err := base64.RawURLEncoding.Strict().Decode(handle[:], []byte(id)); err != nil || n != len(handle) {
		return handle, "", false
	}
	hash, ok := token.Of(token.Phone, secret)
	return handle, hex.EncodeToString(hash[:]), ok
}

// held returns the login or enrolment that the request's phone has claimed, under a name, or store.ErrNotFound.
func (m *Method) held(r *http.Request, name string) (store.Login, attempt, error) {
	handle, phone, ok := phoneOf(r)
	if !ok {
		return store.Login{}, attempt{}, store.ErrNotFound
	}
	l, a, err := m.find(r, handle, name)
	if err == nil && (a.Phone == "" || a.Phone != phone) {
		err = store.ErrNotFound
	}
	return l, a, err
}

// at is held at a step, or an answer to the request.
func (m *Method) at(w http.ResponseWriter, r *http.Request, name, step string) (store.Login, attempt, bool) {
	l, a, err := m.held(r, name)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && a.Step != step:
		refuse(w, http.StatusConflict, "expired")
		return l, a, false
	case err != nil:
		m.fault(w, "find login", err)
		return l, a, false
	}
	return l, a, true
}

// lost answers a request whose step was not written: something else was faster, or the database failed.
func (m *Method) lost(w http.ResponseWriter, what string, err error) {
	if errors.Is(err, store.ErrNotFound) {
		refuse(w, http.StatusConflict, "expired")
		return
	}
	m.fault(w, what, err)
}

// claim gives what a code is of to the first phone that brings it.
func (m *Method) claim(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Code string `json:"code"`
	}
	if !ask(w, r, &q) {
		return
	}
	if !m.claims.Allow(idp.Source(r), m.Now()) {
		refuse(w, http.StatusTooManyRequests, "unavailable")
		return
	}
	handle, name, ok := readCode(m.Keys, q.Code, m.Now())
	if !ok {
		refuse(w, http.StatusNotFound, "expired")
		return
	}
	l, a, err := m.find(r, handle, name)
	if err == nil && a.Step == stepShown {
		if m.take(w, r, l, a) {
			return
		}
		l, a, err = m.find(r, handle, name) // another phone was faster
	}
	if err != nil {
		m.lost(w, "find login", err)
		return
	}
	_, phone, ok := phoneOf(r)
	again := ok && phone == a.Phone // the same phone once more: its page was loaded anew
	if again && (a.Step == stepClaimed || a.Step == stepConfirmed) {
		m.tell(w, r, l, a)
		return
	}
	if again || a.Step == stepEnded || a.Step == stepDone {
		refuse(w, http.StatusConflict, "expired")
		return
	}
	m.recordSecond(r, name, a)
	refuse(w, http.StatusConflict, "taken")
}

// find returns a login or an enrolment, or store.ErrNotFound.
func (m *Method) find(r *http.Request, handle token.Hash, name string) (store.Login, attempt, error) {
	l, err := m.Store.LoginByHandle(r.Context(), handle, name, m.Now())
	if err != nil {
		return l, attempt{}, err
	}
	a, err := read(l)
	return l, a, err
}

// take gives a login or an enrolment to the request's phone, and answers it, unless something else was faster.
func (m *Method) take(w http.ResponseWriter, r *http.Request, l store.Login, a attempt) bool {
	secret := token.New()
	hash, _ := token.Of(token.Phone, secret)
	a.Step, a.Phone = stepClaimed, hex.EncodeToString(hash[:])
	l, err := m.advance(r.Context(), l, a)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false
	case err != nil:
		m.fault(w, "claim login", err)
	default:
		setPhoneCookie(w, l.Handle, secret)
		m.tell(w, r, l, a)
	}
	return true
}

// claimed is what a phone is told of what it has claimed.
type claimed struct {
	Kind string `json:"kind"` // login or phone

	Service string    `json:"service,omitempty"`
	Source  string    `json:"source,omitempty"` // of the workstation
	Other   bool      `json:"other,omitempty"`  // that is not in the phone's network
	Browser string    `json:"browser,omitempty"`
	Time    time.Time `json:"time,omitzero"`
	Numbers []string  `json:"numbers,omitempty"`

	Name   string `json:"name,omitempty"` // whose account the phone is added to
	Number string `json:"number,omitempty"`
	Step   string `json:"step,omitempty"`
}

func (m *Method) tell(w http.ResponseWriter, r *http.Request, l store.Login, a attempt) {
	if l.Method == Name {
		answer(w, claimed{
			Kind: "login", Service: m.title(a.Service), Source: a.Source, Other: !sameNetwork(a.Source, idp.Source(r)), Browser: a.Browser,
			Time: a.Began, Numbers: a.Numbers,
		})
		return
	}
	account, err := m.Store.AccountBySubject(r.Context(), a.Subject)
	if err != nil {
		m.fault(w, "find account", err)
		return
	}
	answer(w, claimed{Kind: "phone", Name: idp.Person(store.Session{Account: account}).Name, Number: a.Number, Step: a.Step})
}

// sameNetwork says whether two addresses are those of one connection to the internet: the same, or in the same /64 (RFC 4291, section
// 2.5.4). What cannot be read is in none.
func sameNetwork(a, b string) bool {
	x, err := netip.ParseAddr(a)
	y, err2 := netip.ParseAddr(b)
	if err != nil || err2 != nil {
		return false
	}
	x, y = x.Unmap().WithZone(""), y.Unmap().WithZone("")
	if x.Is6() && y.Is6() {
		p, err := x.Prefix(64)
		return err == nil && p.Contains(y)
	}
	return x == y
}

// recordSecond notes that a code came twice: it was seen by somebody else too.
func (m *Method) recordSecond(r *http.Request, name string, a attempt) {
	e := audit.Event{Kind: audit.LoginRefused, Outcome: "refused", Reason: "second_phone", Method: Name, Source: a.Source, Browser: a.Browser,
		Detail: "phone at " + idp.Source(r)}
	if name == adding {
		e.Kind, e.Factor, e.Subject = audit.FactorAdded, string(store.Phone), a.Subject
	}
	m.Server.Record(e)
}

// recordEnd notes why a phone has ended a login. Source is where the login began, which is what somebody has to look for.
func (m *Method) recordEnd(r *http.Request, a attempt, reason, subject string) {
	m.Server.Record(audit.Event{
		Kind: audit.LoginRefused, Outcome: "refused", Reason: reason, Subject: subject, Method: Name, Source: a.Source, Browser: a.Browser,
		Service: a.Service, Detail: "phone at " + idp.Source(r),
	})
}

// pick takes the number that the person has read at the workstation. A wrong one ends the login, also behind a right one that was sent at the
// same time: whoever guesses has one try.
func (m *Method) pick(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Number string `json:"number"`
	}
	if !ask(w, r, &q) {
		return
	}
	l, a, err := m.held(r, Name)
	if err == nil && a.Step != stepClaimed && (a.Step != stepPicked || q.Number == a.Number) {
		err = store.ErrNotFound
	}
	if err != nil {
		m.lost(w, "find login", err)
		return
	}
	if q.Number != a.Number {
		m.recordEnd(r, a, "wrong_number", "")
		if _, err := m.end(r.Context(), l, a, "wrong_number"); err != nil {
			m.fault(w, "end login", err)
			return
		}
		refuse(w, http.StatusForbidden, "wrong_number")
		return
	}
	asked, err := m.Credentials.Ask(challenge(l.Handle, a.Number, m.Server.Origin))
	if err != nil {
		m.fault(w, "ask for a passkey", err)
		return
	}
	a.Step, a.Asked = stepPicked, &asked
	if _, err := m.advance(r.Context(), l, a); err != nil {
		m.lost(w, "advance login", err)
		return
	}
	answer(w, asksFor{asked.Options})
}

// asksFor tells a phone what to ask its authenticator for.
type asksFor struct {
	Options json.RawMessage `json:"options"`
}

// challenge binds what the passkey signs to a login, its number and this origin: 32 fresh random bytes, which nobody foretells (WebAuthn level 3,
// section 13.4.3), and a hash over the three.
func challenge(handle token.Hash, number, origin string) []byte {
	all := make([]byte, 32)
	rand.Read(all) // never fails, crypto/rand
	h := sha256.New()
	for _, part := range [][]byte{[]byte("authgw qr login v1"), handle[:], []byte(number), []byte(origin)} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return h.Sum(all)
}

// approve takes the signature of the phone's passkey and records the proof. A signature that is not right ends the login.
func (m *Method) approve(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Answer string `json:"answer"`
	}
	if !ask(w, r, &q) {
		return
	}
	l, a, ok := m.at(w, r, Name, stepPicked)
	if !ok {
		return
	}
	proved, err := m.Credentials.Prove(r.Context(), *a.Asked, []byte(q.Answer), store.Phone)
	reason, subject := passkey.Reason(err), proved.Factor.Subject
	if err == nil {
		account, find := m.Store.AccountBySubject(r.Context(), subject)
		switch {
		case find != nil:
			err = find
		case account.Disabled: // D14
			reason = "account_disabled"
		}
	}
	if reason != "" {
		m.recordEnd(r, a, reason, subject)
		why := "failed"
		if reason == "account_disabled" {
			why = reason
		}
		if _, err := m.end(r.Context(), l, a, why); err != nil {
			m.fault(w, "end login", err)
			return
		}
		refuse(w, http.StatusForbidden, reason)
		return
	}
	if err != nil {
		m.fault(w, "prove passkey", err)
		return
	}
	if err := m.record(r, l, a, proved); err != nil {
		m.lost(w, "settle login", err)
		return
	}
	passkey.RememberHere(w)
	answer(w, struct{}{})
}

// record writes the proof into the login, once, after its line in the audit, without which there is none.
func (m *Method) record(r *http.Request, l store.Login, a attempt, proved passkey.Proved) error {
	err := m.Server.Audit.Record(audit.Event{
		Kind: audit.LoginApproved, Outcome: "success", Subject: proved.Factor.Subject, Method: Name, ACR: proved.Factor.ACR,
		Factor: string(proved.Factor.Kind), Source: idp.Source(r), Service: a.Service, Detail: "workstation at " + a.Source,
	})
	if err != nil {
		return err
	}
	outcome, err := json.Marshal(approval{m.Credentials.Proof(Name, proved), proved.Factor.ID})
	if err != nil {
		return err
	}
	now := m.Now()
	if err := m.Store.SettleWaiting(r.Context(), l, outcome, now, now.Add(openLife)); err != nil {
		return err
	}
	m.Server.Sessions.Changed(l.ID())
	return nil
}

// deny ends what the phone has claimed: "it is not me".
func (m *Method) deny(w http.ResponseWriter, r *http.Request) {
	if !ask(w, r, &struct{}{}) {
		return
	}
	l, a, err := m.held(r, Name)
	if errors.Is(err, store.ErrNotFound) {
		l, a, err = m.held(r, adding)
	}
	ended := false
	if err == nil && !a.over() {
		ended, err = m.end(r.Context(), l, a, "not_me")
	}
	if err == nil && !ended {
		err = store.ErrNotFound // it is too late: the trail must not say that it was refused
	}
	if err != nil {
		m.lost(w, "end login", err)
		return
	}
	if l.Method == Name {
		m.recordEnd(r, a, "not_me", "")
	} else {
		m.recordNotAdded(r, a, "not_me")
	}
	answer(w, struct{}{})
}
