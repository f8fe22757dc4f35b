package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/testpki"
)

// cluster is three gateways on one PostgreSQL, and what stands in front of them: each connection goes to one that answers.
type cluster struct {
	*world
	gateways [3]*process
	ports    []int
	next     atomic.Uint32
}

// TestGatewaysThatFail kills one of three gateways, and then their database, in the middle of logins. No login that was completed is lost, no
// session that was ended comes back, and what failed has said so.
func TestGatewaysThatFail(t *testing.T) {
	const open, logins, workers = 50, 200, 8
	server := pgtest.Start(t, pgtest.Config{Durable: true})
	c := newCluster(t, server.Database(t))
	cards := c.cards(t, 4)

	// Sessions that were open before; every fifth is signed out while things fail.
	var before []*person
	for i := range open {
		p := c.person(t, cards[i%len(cards)])
		if err := p.logIn(); err != nil {
			t.Fatalf("login %d, with everything in order: %v", i, err)
		}
		before = append(before, p)
	}

	var done, failed atomic.Int32
	var mu sync.Mutex
	var completed []*person
	work := make(chan int)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for i := range work {
				p := c.person(t, cards[i%len(cards)])
				switch err := p.logIn(); {
				case err == nil:
					mu.Lock()
					completed = append(completed, p)
					mu.Unlock()
				case errors.Is(err, errUnclear):
					t.Errorf("login %d failed unclearly: %v", i, err)
					fallthrough
				default:
					failed.Add(1)
				}
				done.Add(1)
			}
		})
	}
	ended := map[*person]bool{}
	for i := range logins {
		work <- i
		switch i {
		case logins / 4:
			_ = c.gateways[1].cmd.Process.Kill()
			<-c.gateways[1].done
		case logins / 2:
			server.Kill(t)
			time.Sleep(time.Second) // for which the database is away
			server.Restart(t)
		}
		if i%20 == 5 { // ten in all, some of them while something is away
			p := before[i/4]
			if p.logOut() == nil {
				ended[p] = true
			}
		}
	}
	close(work)
	group.Wait()
	t.Logf("%d logins completed, %d failed; %d sessions signed out", len(completed), failed.Load(), len(ended))
	if len(completed) < logins/2 || len(ended) == 0 {
		t.Errorf("%d of %d logins were completed and %d sessions signed out: the test shows nothing", len(completed), logins, len(ended))
	}

	for i, p := range completed {
		eventually(t, fmt.Sprintf("completed login %d is open", i), func() error { return p.is(http.StatusOK) })
	}
	for i, p := range before {
		want := http.StatusOK
		if ended[p] {
			want = http.StatusSeeOther // to the login
		}
		for _, gateway := range []int{0, 2} { // each of those that are left
			p.only = gateway
			eventually(t, fmt.Sprintf("session %d answers %d at gateway %d", i, want, gateway), func() error { return p.is(want) })
		}
	}
}

func newCluster(t *testing.T, database string) *cluster {
	t.Helper()
	c := &cluster{world: &world{t: t, dir: t.TempDir(), crl: map[string]string{}}}
	var err error
	if c.pki, err = testpki.New(testpki.Config{CardsOnly: true}); err != nil {
		t.Fatal(err)
	}
	c.backend = newBackend(t)
	c.writeCertificates(t)
	secret := make([]byte, 32)
	rand.Read(secret)
	c.write(t, "seal.keys", fmt.Appendf(nil, "k1 %s\n", base64.StdEncoding.EncodeToString(secret)))
	ports := freePorts(t, 2*len(c.gateways))
	c.port, c.ports = 443, ports[:len(c.gateways)]
	var crls strings.Builder
	for _, file := range c.crl {
		fmt.Fprintf(&crls, "    - %s\n", file)
	}
	for i := range c.gateways {
		name := fmt.Sprintf("authgw%d.yaml", i)
		c.write(t, name, fmt.Appendf(nil, `
name: e2e
listen: 127.0.0.1:%d
public_port: 443
admin: 127.0.0.1:%d
hosts: {auth: auth.%[3]s, card: card.%[3]s}
tls: [{cert: server.crt, key: server.key}]
card:
  trust: trust
  crls:
%s
services: [{name: mail, host: mail.%[3]s, backend: "%[5]s", title: Messagerie}]
database: "%[6]s"
seal_keys: seal.keys
`, ports[i], ports[len(c.gateways)+i], domain, crls.String(), c.backend.URL, database))
		c.gateways[i] = startProcess(t, nil, binaries.authgw, "serve", "--config", c.path(name))
	}
	for _, g := range c.gateways {
		g.await(t, "authgw serves")
	}
	return c
}

// cards are certificates of different persons, with their keys.
func (c *cluster) cards(t *testing.T, n int) []tls.Certificate {
	t.Helper()
	var all []tls.Certificate
	for i := range n {
		key, cert := c.doctor(t, func(card *testpki.Card) { card.NationalID = fmt.Sprintf("8997002%05d", i) })
		all = append(all, tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert})
	}
	return all
}

// person is somebody's browser and agent. It is used by one goroutine at a time.
type person struct {
	browser, agent *http.Client
	only           int // the gateway that connections go to; -1: any that answers
}

// errUnclear is a failure that does not say what it is.
var errUnclear = errors.New("unclear")

func (c *cluster) person(t *testing.T, card tls.Certificate) *person {
	t.Helper()
	p := &person{only: -1}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		first := int(c.next.Add(1))
		for i := range c.ports {
			at := (first + i) % len(c.ports)
			if p.only >= 0 {
				at = p.only
			}
			if conn, err := new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", c.ports[at])); err == nil {
				return conn, nil
			}
		}
		return nil, errors.New("no gateway answers")
	}
	client := func(certificates ...tls.Certificate) *http.Client {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Client{Jar: jar, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, TLSClientConfig: &tls.Config{
				RootCAs: c.pki.ServerRoots(), Certificates: certificates, MinVersion: tls.VersionTLS12}}}
	}
	p.browser, p.agent = client(), client(card)
	return p
}

// answer is a status, and where it leads or what it says.
func (p *person) answer(c *http.Client, method, address, body string) (status int, text string, err error) {
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Accept", "text/html") // as browsers do, which are shown the login; others get 401
	a, err := c.Do(r)
	if err != nil {
		return 0, "", err // the connection: the person sees that nothing came
	}
	defer a.Body.Close()
	data, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
	if err != nil {
		return 0, "", err
	}
	switch {
	case a.StatusCode == http.StatusServiceUnavailable:
		return a.StatusCode, "", fmt.Errorf("%s %s: 503", method, address)
	case a.StatusCode >= 400:
		return a.StatusCode, "", fmt.Errorf("%s %s: %s\n%.300s: %w", method, address, a.Status, data, errUnclear)
	}
	if to := a.Header.Get("Location"); to != "" {
		return a.StatusCode, to, nil
	}
	return a.StatusCode, string(data), nil
}

// logIn signs in with the card, through whichever gateways answer.
func (p *person) logIn() error {
	origin := func(host string) string { return "https://" + host + "." + domain }
	status, to, err := p.answer(p.browser, http.MethodPost, origin("auth")+"/login/card", "")
	if err != nil {
		return err
	}
	u, err := url.Parse(to)
	if err != nil || status != http.StatusSeeOther {
		return fmt.Errorf("begin: %d %s: %w", status, to, errUnclear)
	}
	handle := u.Path[strings.LastIndexByte(u.Path, '/')+1:]
	_, text, err := p.answer(p.agent, http.MethodPost, origin("card")+cardwire.ProvePath, `{"handle":"`+handle+`"}`)
	if err != nil {
		return err
	}
	_, code, _ := strings.Cut(text, `"code":"`)
	code, _, _ = strings.Cut(code, `"`)
	status, to, err = p.answer(p.browser, http.MethodGet, origin("auth")+cardwire.CallbackPath+code, "")
	if err == nil && (status != http.StatusSeeOther || to != "/") {
		err = fmt.Errorf("callback: %d %s: %w", status, to, errUnclear)
	}
	return err
}

func (p *person) logOut() error {
	_, _, err := p.answer(p.browser, http.MethodPost, "https://auth."+domain+"/logout", "")
	return err
}

// is says whether the portal answers with a status.
func (p *person) is(want int) error {
	status, _, err := p.answer(p.browser, http.MethodGet, "https://auth."+domain+"/", "")
	if err == nil && status != want {
		err = fmt.Errorf("it answers %d", status)
	}
	return err
}
