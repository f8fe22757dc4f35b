package oidc

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/limit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// Paths of the pages for the person of a device.
const (
	userCodePath = "/device"
	confirmPath  = "/device/confirm"
)

// deviceRoutes are those that the browsers of persons come to who have a device before them:
//
//	GET /device            the code is typed
//	POST /device           the device is found; from here on it is a kept request, which signs in as one of authorize does
//	GET /oauth/resume      leads to the next, once the session does
//	GET /device/confirm    "is this the device in front of you?"
//	POST /device/confirm   yes: a grant in this session, which the device fetches
func (p *Provider) deviceRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+userCodePath, p.askUserCode)
	mux.HandleFunc("POST "+userCodePath, p.takeUserCode)
	mux.HandleFunc("GET "+confirmPath, p.askConfirmation)
	mux.HandleFunc("POST "+confirmPath, p.decideDevice)
}

// askUserCode shows the form for a code. One that stands in the address is only written into it: the person has to look at the device (RFC 8628,
// section 3.3.1).
func (p *Provider) askUserCode(w http.ResponseWriter, r *http.Request) {
	v, err := p.session(r)
	if err != nil {
		p.Server.Fault(w, r, "find session", err)
		return
	}
	code, _ := readUserCode(r.URL.Query().Get("user_code"))
	p.showUserCode(w, r, http.StatusOK, v, web.DevicePage{Code: code})
}

func (p *Provider) showUserCode(w http.ResponseWriter, r *http.Request, status int, v *store.Session, page web.DevicePage) {
	noStore(w)
	page.Action = userCodePath
	if v != nil {
		person := idp.Person(*v)
		page.Person = &person
	}
	p.Pages.Render(w, r, status, page)
}

// takeUserCode finds the device of a code, and makes a request of it for this browser.
func (p *Provider) takeUserCode(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	q, err := parameters(r)
	if err != nil {
		p.unanswered(w, r, err)
		return
	}
	v, err := p.session(r)
	if err != nil {
		p.Server.Fault(w, r, "find session", err)
		return
	}
	typed := q.Get("user_code")
	code, ok := readUserCode(typed)
	if !ok { // not a guess: it cannot be one
		p.showUserCode(w, r, http.StatusUnprocessableEntity, v, web.DevicePage{Code: typed, Problem: "wrong"})
		return
	}
	d, c, wait, err := p.guess(r, v, code)
	switch {
	case errors.Is(err, store.ErrNotFound):
		p.recordGuess(r, v, "user_code_unknown")
		p.showUserCode(w, r, http.StatusUnprocessableEntity, v, web.DevicePage{Code: code, Problem: "wrong"})
	case err != nil:
		p.Server.Fault(w, r, "find device", err)
	case wait > 0:
		p.recordGuess(r, v, "throttled")
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		p.showUserCode(w, r, http.StatusTooManyRequests, v, web.DevicePage{Code: code, Problem: "throttled", Wait: wait})
	default:
		p.keepDevice(w, r, d, c, v, code)
	}
}

// guessesOf is where a code that is typed counts. Of one network the limits are generous, since many people may be behind one address; it has three
// guesses a minute in the long run, which against a thousand codes that wait is one hit in sixteen years; and that would sign a stranger's device in as who
// guesses. Who is signed in counts for themselves too.
func guessesOf(r *http.Request, v *store.Session) []store.Counter {
	all := []store.Counter{{
		Key:    "device:source:" + limit.Network(idp.Source(r)),
		Limits: store.AttemptLimits{Free: 100, First: time.Second, Most: time.Minute, Fade: 20 * time.Second},
	}}
	if v != nil {
		all = append(all, store.Counter{
			Key: "device:account:" + v.Account.Subject, Subject: v.Account.Subject,
			Limits: store.AttemptLimits{Free: 5, First: 2 * time.Second, Most: 5 * time.Minute, Fade: 30 * time.Minute},
		})
	}
	return all
}

// guess returns the device that waits with a code, and its client. Each one that is looked for counts before it is, and is given back when it was
// right, so that of many at once no more are looked at than of as many in turn. With a wait above zero, nothing was looked at.
func (p *Provider) guess(r *http.Request, v *store.Session, code string) (d store.Device, c *client.Client, wait time.Duration, err error) {
	ctx, now, counters := r.Context(), p.Now(), guessesOf(r, v)
	turns, open, err := p.Store.BeginAttempt(ctx, counters, now)
	if err != nil {
		return d, nil, 0, err
	}
	if turns == nil {
		return d, nil, max(open.Sub(now), time.Second), nil
	}
	if d, err = p.Store.DeviceByUserCode(ctx, p.userCodeMAC(code), now); err != nil {
		return d, nil, 0, err
	}
	c, err = p.Clients.Client(ctx, d.Client)
	if errors.Is(err, client.ErrUnknown) || err == nil && !c.Device { // it was changed meanwhile
		err = store.ErrNotFound
	}
	if err == nil {
		err = p.Store.GiveAttemptBack(ctx, counters, turns, now)
	}
	return d, c, 0, err
}

// recordGuess records a code that was none, or was not looked at.
func (p *Provider) recordGuess(r *http.Request, v *store.Session, reason string) {
	e := audit.Event{Reason: reason, Detail: "code of a device"}
	if v != nil {
		e.Subject, e.Session, e.Method, e.ACR = v.Account.Subject, v.ID, v.Method, v.ACR
	}
	p.recordRefusal(r, e)
}

// keepDevice makes a request of a device, which goes on as one that a client has sent here does.
func (p *Provider) keepDevice(w http.ResponseWriter, r *http.Request, d store.Device, c *client.Client, v *store.Session, code string) {
	i := &inquiry{
		asked:  asked{Scopes: d.Scopes, Device: base64.RawURLEncoding.EncodeToString(d.Hash[:]), UserCode: code},
		client: c, created: p.Now(),
	}
	if v != nil {
		i.Before = v.ID
	}
	verdict, err := p.decide(r.Context(), i, v)
	if err != nil {
		p.Server.Fault(w, r, "decide request", err)
		return
	}
	p.keep(w, r, i, verdict)
}

// deviceHash is what the database knows the device of a request by.
func (i *inquiry) deviceHash() (hash token.Hash, err error) {
	b, err := base64.RawURLEncoding.DecodeString(i.Device)
	if err == nil && len(b) != len(hash) {
		err = errors.New("read device: not a hash")
	}
	copy(hash[:], b)
	return hash, err
}

// keptDevice is keptRequest for the request of a device.
func (p *Provider) keptDevice(r *http.Request, handle string) (*inquiry, error) {
	i, err := p.keptAny(r, handle)
	if err == nil && i.Device == "" {
		return nil, idp.ErrNoRequest
	}
	return i, err
}

// resumeDevice goes on with the request of a device.
func (p *Provider) resumeDevice(w http.ResponseWriter, r *http.Request, i *inquiry, v *store.Session) {
	d, err := p.decide(r.Context(), i, v)
	if err != nil {
		p.Server.Fault(w, r, "decide request", err)
		return
	}
	switch d.step {
	case signIn:
		p.lead(w, r, i.handle, d)
	case give, agree: // the confirmation is consent
		http.Redirect(w, r, queryOf(confirmPath, "request", i.handle), http.StatusSeeOther)
	default:
		p.notAdmitted(w, r, i, v, d)
	}
}

// toConfirm returns the request of a device to which only the person's confirmation is missing, with the device, or answers the browser.
func (p *Provider) toConfirm(w http.ResponseWriter, r *http.Request, handle string) (*inquiry, *store.Session, store.Device, bool) {
	none := store.Device{}
	i, v, ok := p.foundBy(p.keptDevice, w, r, handle)
	if !ok {
		return nil, nil, none, false
	}
	d, err := p.decide(r.Context(), i, v)
	if err != nil {
		p.Server.Fault(w, r, "decide request", err)
		return nil, nil, none, false
	}
	if d.step != give && d.step != agree {
		http.Redirect(w, r, p.Resume(handle), http.StatusSeeOther)
		return nil, nil, none, false
	}
	hash, err := i.deviceHash()
	var device store.Device
	if err == nil {
		device, err = p.Store.WaitingDevice(r.Context(), hash, p.Now())
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		if p.used(w, r, i) {
			p.deviceOver(w, r, i, v)
		}
		return nil, nil, none, false
	case err != nil:
		p.Server.Fault(w, r, "find device", err)
		return nil, nil, none, false
	}
	return i, v, device, true
}

// askConfirmation asks whether the device is the one in front of the person. Nothing on two devices can tell: see docs/threat-model.md.
func (p *Provider) askConfirmation(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	i, v, d, ok := p.toConfirm(w, r, r.URL.Query().Get("request"))
	if !ok {
		return
	}
	p.Pages.Render(w, r, http.StatusOK, web.DeviceConfirmPage{
		Person: idp.Person(*v), Service: i.client.Title, Code: i.UserCode, Told: toldBy(i.Scopes),
		Source: d.Source, Other: limit.Network(d.Source) != limit.Network(idp.Source(r)), Asked: d.Created,
		Action: confirmPath, Request: i.handle, Session: v.ID,
	})
}

// decideDevice takes the person's answer, from our own page (the browser routes are protected from others) in the request's own browser, and in the session
// whose name stood on that page.
func (p *Provider) decideDevice(w http.ResponseWriter, r *http.Request) {
	noStore(w)
	q, err := parameters(r)
	if err != nil {
		p.unanswered(w, r, err)
		return
	}
	i, v, d, ok := p.toConfirm(w, r, q.Get("request"))
	if !ok {
		return
	}
	answer := q.Get("answer")
	if q.Get("session") != v.ID || answer != "approve" && answer != "refuse" { // another person has signed in; an empty form decides nothing (D8)
		http.Redirect(w, r, queryOf(confirmPath, "request", i.handle), http.StatusSeeOther)
		return
	}
	if !p.used(w, r, i) {
		return
	}
	if answer == "refuse" {
		err = p.Store.RefuseDevice(r.Context(), d.Hash, p.Now())
	} else {
		err = p.approve(r, i, v, d)
	}
	switch {
	case errors.Is(err, store.ErrNotFound): // somebody else was faster, or it is too late, or the session is over
		p.deviceOver(w, r, i, v)
	case err != nil:
		p.Server.Fault(w, r, answer+" device", err)
	case answer == "refuse":
		p.recordRefusal(r, deviceEvent(i, v, d, "access_denied"))
		p.deviceDone(w, r, http.StatusOK, i, v, "refused")
	default:
		e := deviceEvent(i, v, d, "")
		e.Kind, e.Outcome, e.Source = audit.AuthorizationGranted, "success", idp.Source(r)
		p.Server.Record(e)
		p.deviceDone(w, r, http.StatusOK, i, v, "approved")
	}
}

// approve gives a device a grant in the person's session, with which it ends.
func (p *Provider) approve(r *http.Request, i *inquiry, v *store.Session, d store.Device) error {
	if i.client.Consent {
		if err := p.noteConsent(r, i, v); err != nil {
			return err
		}
	}
	now := p.Now()
	body, err := json.Marshal(granted{
		Scopes: i.Scopes, Subject: p.subject(i.client, v.Account.Subject), Account: v.Account.Subject,
		ACR: v.ACR, AMR: v.AMR, AuthTime: v.AuthTime.Unix(), SID: v.ID, Method: v.Method, CardType: v.CardType,
	})
	if err != nil {
		return err
	}
	return p.Store.ApproveDevice(r.Context(), d.Hash, store.Grant{
		ID: strings.ToLower(rand.Text()), Client: i.client.ID, Session: v.ID, SID: v.ID, Body: body, Created: now, Expires: v.ExpiresAt,
	}, now)
}

// deviceEvent is the record of what a person has decided of a device.
func deviceEvent(i *inquiry, v *store.Session, d store.Device, reason string) audit.Event {
	return audit.Event{
		Reason: reason, Client: i.client.ID, Subject: v.Account.Subject, Session: v.ID, Method: v.Method, ACR: v.ACR, Detail: "device at " + d.Source,
	}
}

func (p *Provider) deviceOver(w http.ResponseWriter, r *http.Request, i *inquiry, v *store.Session) {
	p.deviceDone(w, r, http.StatusConflict, i, v, "over")
}

func (p *Provider) deviceDone(w http.ResponseWriter, r *http.Request, status int, i *inquiry, v *store.Session, outcome string) {
	p.Pages.Render(w, r, status, web.DeviceDonePage{Person: idp.Person(*v), Service: i.client.Title, Outcome: outcome, Again: userCodePath})
}
