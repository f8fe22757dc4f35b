package oidc_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rp "github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"

	"promess/authgw/idp/oidc"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
)

// loopback is the network that the clients of these tests say that they are in.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// receiver is a client's server, to which logouts are told.
type receiver struct {
	*httptest.Server
	status atomic.Int32
	conns  atomic.Int32 // that were opened

	mu     sync.Mutex
	tokens []string
	kinds  []string // Content-Type of each
}

func newReceiver(t testing.TB, status int) *receiver {
	t.Helper()
	v := &receiver{}
	v.status.Store(int32(status))
	v.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		form, _ := url.ParseQuery(string(body))
		v.mu.Lock()
		v.tokens, v.kinds = append(v.tokens, form.Get("logout_token")), append(v.kinds, r.Method+" "+r.Header.Get("Content-Type"))
		v.mu.Unlock()
		w.WriteHeader(int(v.status.Load()))
	}))
	v.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	v.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			v.conns.Add(1)
		}
	}
	v.StartTLS()
	t.Cleanup(v.Close)
	return v
}

func (v *receiver) got() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.tokens)
}

// told makes a client that is told at a URL.
func told(id, uri string) *client.Client {
	c := confidential(id)
	c.BackChannel, c.BackChannelPrivate = uri, loopback
	return c
}

// outcomes counts what became of telling clients.
type outcomes struct {
	mu  sync.Mutex
	all map[oidc.Outcome]int
}

func (o *outcomes) add(v oidc.Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil {
		o.all = map[oidc.Outcome]int{}
	}
	o.all[v]++
}

func (o *outcomes) of(v oidc.Outcome) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all[v]
}

// tell has a gateway tell clients, until stop or the end of the test.
func (b *backend) tell(t testing.TB, receivers ...*receiver) (*outcomes, func()) {
	t.Helper()
	o := &outcomes{}
	roots := x509.NewCertPool()
	for _, r := range receivers {
		roots.AddCert(r.Certificate())
	}
	channel := oidc.NewBackChannel(oidc.BackChannelConfig{
		Issuer: b.issuer, Sessions: b.sessions, Clients: b.roster, Ring: b.ring, Store: b.store, Audit: audit.New(&b.trail, b.now),
		Log: slog.New(slog.NewTextHandler(&b.log, nil)), Now: b.now, Outcome: o.add, Roots: roots,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { // ends with cancel
		defer close(ended)
		channel.Run(ctx)
	}()
	stop := sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	return o, stop
}

// used gives a client tokens in a session.
func (b *backend) used(t testing.TB, id string, v store.Session) reply {
	t.Helper()
	return b.exchange(t, id, b.code(t, id, v, "openid", "offline_access")).wantTokens(t, "exchange")
}

func (b *backend) waiting(t testing.TB) int {
	t.Helper()
	n, err := b.store.CountLogouts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// logoutClaims are those that a client may count on (OpenID Connect Back-Channel Logout 1.0, section 2.4).
var logoutClaims = []string{"aud", "events", "exp", "iat", "iss", "jti", "sid", "sub"}

// oidcc-backchannel-rp-initiated-logout, F14: what go-oidc, as a client, takes for a logout token of its own session; and nothing of another kind.
func TestOidccBackchannelRPInitiatedLogout(t *testing.T) {
	for name, change := range map[string]func(c *client.Client){
		"ES256, public": func(c *client.Client) { c.Signing = "ES256" },
		"RS256, pairwise": func(c *client.Client) {
			c.Signing, c.Subject, c.Sector = "RS256", client.PairwiseSubject, "agenda.example.test"
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, sqliteFile(t), nil)
			r := newReceiver(t, http.StatusOK)
			c := told("agenda", r.URL+"/logout")
			change(c)
			b.add(c)
			o, _ := b.tell(t, r)
			v := b.session(t, "s1")
			b.used(t, "agenda", v)
			if err := b.server.End(t.Context(), v, "logout"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the client is told", func() bool { return o.of(oidc.Told) == 1 && b.waiting(t) == 0 })
			got := r.got()
			if len(got) != 1 || r.kinds[0] != "POST application/x-www-form-urlencoded" {
				t.Fatalf("%d requests, %q, want one", len(got), r.kinds)
			}

			ctx := rp.ClientContext(t.Context(), b.client)
			provider, err := rp.NewProvider(ctx, b.issuer)
			if err != nil {
				t.Fatal(err)
			}
			logout, err := provider.Verifier(&rp.Config{ClientID: "agenda", SupportedSigningAlgs: []string{c.Signing}}).VerifyLogout(ctx, got[0])
			if err != nil {
				t.Fatal(err)
			}
			sub := "u-s1"
			if c.Subject == client.PairwiseSubject {
				sub = b.ring.Pairwise(c.Sector, sub)
			}
			if logout.Subject != sub || logout.SessionID != "s1" || !slices.Equal(logout.Audience, []string{"agenda"}) || logout.Expiry.Sub(logout.IssuedAt) != 2*time.Minute {
				t.Errorf("logout token %+v, want sub %s, sid s1, for two minutes", logout, sub)
			}
			claims := payload(t, got[0])
			if d := cmp.Diff(logoutClaims, slices.Sorted(maps.Keys(claims))); d != "" {
				t.Errorf("claims (-want +got):\n%s", d)
			}
			if d := cmp.Diff(map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}, claims["events"]); d != "" {
				t.Errorf("events (-want +got):\n%s", d)
			}
			if kind := header(t, got[0])["typ"]; kind != "logout+jwt" {
				t.Errorf("typ = %v, want logout+jwt", kind)
			}
			if _, err := provider.Verifier(&rp.Config{ClientID: "dossier"}).VerifyLogout(ctx, got[0]); err == nil {
				t.Error("another client takes it")
			}
			if d := cmp.Diff([]string{"success"}, b.told(t)); d != "" {
				t.Errorf("audit (-want +got):\n%s", d)
			}
			if strings.Contains(b.log.String()+b.trail.String(), got[0]) {
				t.Error("the token is in the log or the audit")
			}
		})
	}
}

// E3: whoever ends a session, the client is told once, by one of the gateways, on each engine.
func TestE3AnyEndIsToldOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, database string) {
		one := newBackend(t, database, nil)
		two := newBackend(t, database, one)
		r := newReceiver(t, http.StatusNoContent)
		one.add(told("agenda", r.URL))
		one.tell(t, r)
		two.tell(t, r)
		ends := map[string]func(v store.Session) error{
			"logout":       func(v store.Session) error { return one.server.End(t.Context(), v, "logout") },
			"card removed": func(v store.Session) error { return two.server.End(t.Context(), v, "card_removed") },
			"a command": func(v store.Session) error {
				_, err := one.store.DisableAccount(t.Context(), v.Account.Subject, one.now())
				return err
			},
			"reset": func(v store.Session) error {
				_, err := one.store.EndSessionsOf(t.Context(), v.Account.Subject, "", "account_reset", one.now())
				return err
			},
		}
		n := 0
		for name, end := range ends {
			n++
			id := "s" + strings.Repeat("x", n)
			v := one.session(t, id)
			got := one.used(t, "agenda", v)
			access, refresh := got.word("access_token"), got.word("refresh_token")
			if !one.active(t, "agenda", access) || !two.active(t, "agenda", access) { // which fills both caches
				t.Fatalf("%s: the token is not good before", name)
			}
			if err := end(v); err != nil {
				t.Fatal(err)
			}
			for _, b := range []*backend{one, two} {
				eventually(t, name+": the token is over", func() bool { return !b.active(t, "agenda", access) })
				b.refresh(t, "agenda", refresh).wantDenied(t, name+": a refresh", http.StatusBadRequest, "invalid_grant")
			}
			eventually(t, name+": the client is told", func() bool { return len(r.got()) >= n })
		}
		eventually(t, "nothing waits", func() bool { return one.waiting(t) == 0 })
		sids := map[any]int{}
		for _, token := range r.got() {
			sids[payload(t, token)["sid"]]++
		}
		if d := cmp.Diff(map[any]int{"sx": 1, "sxx": 1, "sxxx": 1, "sxxxx": 1}, sids); d != "" {
			t.Errorf("told (-want +got):\n%s", d)
		}
	})
}

// What could not be told before a gateway stopped is told by the next.
func TestLogoutsSurviveARestart(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	r := newReceiver(t, http.StatusServiceUnavailable)
	b.add(told("agenda", r.URL))
	b.used(t, "agenda", b.session(t, "s1"))
	if err := b.store.EndSession(t.Context(), "s1", "idle", b.now()); err != nil {
		t.Fatal(err)
	}
	o, stop := b.tell(t, r)
	eventually(t, "the client refuses", func() bool { return o.of(oidc.Refused) > 0 })
	stop()
	r.status.Store(http.StatusOK)
	o, _ = b.tell(t, r)
	b.advance(time.Minute)
	eventually(t, "the client is told", func() bool { return o.of(oidc.Told) == 1 && b.waiting(t) == 0 })
	if d := cmp.Diff([]string{"success"}, b.told(t)); d != "" {
		t.Errorf("audit (-want +got):\n%s", d)
	}
}

// Tries are further and further apart, up to an hour, and end after a day.
func TestClientThatDoesNotUnderstandIsGivenUp(t *testing.T) {
	for tries, want := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 12: 2048 * time.Second, 13: time.Hour, 14: time.Hour, 1000: time.Hour, 0: time.Second,
	} {
		if got := oidc.Delay(tries); got != want {
			t.Errorf("delay after %d tries = %v, want %v", tries, got, want)
		}
	}
	for name, status := range map[string]int{"an error of the client": http.StatusBadRequest, "of its server": http.StatusInternalServerError, "another success": http.StatusAccepted} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, sqliteFile(t), nil)
			r := newReceiver(t, status)
			b.add(told("agenda", r.URL))
			b.used(t, "agenda", b.session(t, "s1"))
			if err := b.store.EndSession(t.Context(), "s1", "idle", b.now()); err != nil {
				t.Fatal(err)
			}
			o, _ := b.tell(t, r)
			for n := 1; n <= 3; n++ {
				eventually(t, "a try", func() bool { return o.of(oidc.Refused) >= n })
				b.advance(time.Hour)
			}
			if jti := payload(t, r.got()[0])["jti"]; jti == payload(t, r.got()[1])["jti"] {
				t.Error("two tries have one jti: a client that lost the first answer would refuse the second")
			}
			b.advance(24 * time.Hour)
			eventually(t, "it is given up", func() bool { return o.of(oidc.GivenUp) == 1 && b.waiting(t) == 0 })
			if d := cmp.Diff([]string{"given_up"}, b.told(t)); d != "" {
				t.Errorf("audit (-want +got):\n%s", d)
			}
		})
	}
}

// A client that wants no call, or is no more, holds nothing up.
func TestClientsThatWantNoCallAreNotTold(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	b.used(t, "agenda", b.session(t, "s1"))
	b.used(t, "dossier", b.session(t, "s2"))
	for _, id := range []string{"s1", "s2"} {
		if err := b.store.EndSession(t.Context(), id, "idle", b.now()); err != nil {
			t.Fatal(err)
		}
	}
	b.roster.mu.Lock()
	delete(b.all, "dossier")
	b.roster.mu.Unlock()
	o, _ := b.tell(t)
	eventually(t, "nothing waits", func() bool { return b.waiting(t) == 0 })
	if len(o.all) != 0 || len(b.told(t)) != 0 {
		t.Errorf("outcomes %v, audit %v, want none", o.all, b.told(t))
	}
}

// A client that takes connections and says nothing keeps nobody waiting but itself.
func TestDeadClientHoldsUpNobody(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	var calls atomic.Int32
	go func() { // ends with the listener
		var held []net.Conn
		for {
			c, err := dead.Accept()
			if err != nil {
				break
			}
			held = append(held, c)
			calls.Add(1)
		}
		for _, c := range held {
			c.Close()
		}
	}()
	r := newReceiver(t, http.StatusOK)
	b.add(told("dead", "https://"+dead.Addr().String()))
	b.add(told("agenda", r.URL))
	for i := range 40 { // more than there are tellers
		id := "s" + strings.Repeat("x", i)
		b.used(t, "dead", b.session(t, id))
		if err := b.store.EndSession(t.Context(), id, "idle", b.now()); err != nil {
			t.Fatal(err)
		}
	}
	o, _ := b.tell(t, r)
	last := b.session(t, "last")
	b.used(t, "agenda", last)
	if err := b.server.End(t.Context(), last, "logout"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other client is told", func() bool { return len(r.got()) == 1 })
	eventually(t, "the dead client is found to be so", func() bool { return o.of(oidc.Unreachable) > 0 })
	if n := calls.Load(); n > 16 { // of forty; by then there have been looks for five seconds
		t.Errorf("the dead client was called %d times at once", n)
	}
	if n := b.waiting(t); n != 40 {
		t.Errorf("%d wait, want 40", n)
	}
}

// F10: no client is called where only the gateway can reach: this machine, its network, what a cloud has at a well-known address. It is the
// address of the connection that counts, so a name that leads elsewhere by then (rebinding) changes nothing; nor does a redirect.
func TestF10PrivateAddressesAreNotCalled(t *testing.T) {
	for _, address := range []string{
		"127.0.0.1:443", "[::1]:443", "[::ffff:127.0.0.1]:443", "[::ffff:10.0.0.1]:443", "10.1.2.3:443", "172.16.0.1:443", "192.168.1.1:443", "169.254.169.254:80",
		"[fe80::1]:443", "[fe80::1%eth0]:443", "[fc00::1]:443", "[fd00:ec2::254]:80", "0.0.0.0:443", "[::]:443", "100.64.0.1:443", "[64:ff9b::7f00:1]:443", "[2002:7f00:1::]:443",
		"224.0.0.1:443", "255.255.255.255:443", "nobody:443", "/run/socket", "",
	} {
		if oidc.MayDial(confidential("agenda"), address) == nil {
			t.Errorf("%s is called", address)
		}
	}
	for _, address := range []string{"93.184.216.34:443", "[2606:2800:220:1:248:1893:25c8:1946]:8443"} {
		if err := oidc.MayDial(confidential("agenda"), address); err != nil {
			t.Errorf("%s is not called: %v", address, err)
		}
	}
	if err := oidc.MayDial(told("agenda", ""), "127.0.0.1:443"); err != nil {
		t.Errorf("a network of the client's own is not called: %v", err)
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && oidc.MayDial(confidential("agenda"), netip.AddrPortFrom(p.Addr(), 443).String()) == nil {
			t.Errorf("%s is called, which is this machine", p.Addr())
		}
	}
}

func TestF10NamesAndRedirectsLeadNowherePrivate(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	inside := newReceiver(t, http.StatusOK)
	_, port, err := net.SplitHostPort(inside.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	outside := httptest.NewTLSServer(http.RedirectHandler(inside.URL+"/internal", http.StatusTemporaryRedirect))
	defer outside.Close()
	bare := func(id, uri string) *client.Client {
		c := told(id, uri)
		c.BackChannelPrivate = nil
		return c
	}
	b.add(bare("address", inside.URL))
	b.add(bare("name", "https://localhost:"+port+"/x"))
	b.add(told("redirect", outside.URL))
	for _, id := range []string{"address", "name", "redirect"} {
		b.used(t, id, b.session(t, "s-"+id))
		if err := b.store.EndSession(t.Context(), "s-"+id, "idle", b.now()); err != nil {
			t.Fatal(err)
		}
	}
	o, _ := b.tell(t, inside, &receiver{Server: outside})
	eventually(t, "all were tried", func() bool { return o.of(oidc.Unreachable) >= 2 && o.of(oidc.Refused) >= 1 })
	if n := inside.conns.Load(); n != 0 {
		t.Errorf("%d connections to a private address, want none", n)
	}
	if o.of(oidc.Told) != 0 || b.waiting(t) != 3 {
		t.Errorf("%d told, %d wait", o.of(oidc.Told), b.waiting(t))
	}
	if log := b.log.String(); !strings.Contains(log, "backchannel_networks") || !strings.Contains(log, "status 307") {
		t.Errorf("the log does not say why:\n%s", log)
	}
}

// A28: a client whose certificate is not good is told nothing.
func TestA28CertificateOfAClientIsVerified(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	r := newReceiver(t, http.StatusOK)
	b.add(told("agenda", r.URL))
	b.used(t, "agenda", b.session(t, "s1"))
	if err := b.store.EndSession(t.Context(), "s1", "idle", b.now()); err != nil {
		t.Fatal(err)
	}
	o, _ := b.tell(t) // whose roots are none
	eventually(t, "it is tried", func() bool { return o.of(oidc.Unreachable) > 0 })
	if len(r.got()) != 0 {
		t.Error("a server that could be anybody was told")
	}
}

// told returns what the audit has of clients that were told.
func (b *backend) told(t testing.TB) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(b.trail.String()) {
		var e audit.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Kind != audit.LogoutTold {
			continue
		}
		if e.Client == "" || e.Subject == "" || e.Session == "" {
			t.Errorf("event %+v", e)
		}
		all = append(all, e.Outcome)
	}
	return all
}

// header returns the header of a JWT.
func header(t testing.TB, text string) map[string]any {
	t.Helper()
	first, _, _ := strings.Cut(text, ".")
	data, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}
