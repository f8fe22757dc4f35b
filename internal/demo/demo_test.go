package demo_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/demo"
)

// output is what the demonstration prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// eventually waits until the output says something.
func (o *output) eventually(t *testing.T, want string) {
	t.Helper()
	wait(t, "the output to say "+want, func() bool { return strings.Contains(o.String(), want) })
}

// wait polls for a condition, for a minute at most.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// demonstration is one that runs.
type demonstration struct {
	demo.Address
	out, log output
	in       *io.PipeWriter
	cancel   context.CancelFunc
	ended    chan error
}

func run(t *testing.T, c demo.Config) *demonstration {
	t.Helper()
	d := &demonstration{ended: make(chan error, 1)}
	var in io.Reader
	in, d.in = io.Pipe()
	t.Cleanup(func() { d.in.Close() })
	ready := make(chan demo.Address, 1)
	c.In, c.Out, c.Ready = in, &d.out, func(a demo.Address) { ready <- a }
	c.Log = slog.New(slog.NewTextHandler(&d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go func() { d.ended <- demo.Run(ctx, c) }()
	t.Cleanup(func() { d.stop(t) })
	select {
	case d.Address = <-ready:
	case err := <-d.ended:
		d.ended <- err
		t.Fatalf("Run = %v", err)
	case <-time.After(time.Minute):
		t.Fatal("not ready after a minute")
	}
	return d
}

// stop ends it as Ctrl-C does.
func (d *demonstration) stop(t *testing.T) {
	t.Helper()
	d.cancel()
	select {
	case err := <-d.ended:
		d.ended <- err // for whoever asks again
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("Run has not ended")
	}
}

// freePort returns the address of a port that nothing listens on.
func freePort(t *testing.T) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr)
}

// browser is a person's browser on the machine of the demonstration.
type browser struct {
	t      *testing.T
	client *http.Client
}

func (d *demonstration) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: d.Roots},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, port, _ := net.SplitHostPort(address); strings.HasSuffix(host, ".localhost") {
				address = net.JoinHostPort("127.0.0.1", port)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, client: &http.Client{
		Transport: transport, Jar: jar, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is an answer, and where it came from.
type page struct {
	status int
	body   string
	url    *url.URL
}

// open sends a request and goes where it leads.
func (b *browser) open(method, address string, form url.Values) page {
	b.t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	for range 12 {
		r, err := http.NewRequestWithContext(b.t.Context(), method, at.String(), strings.NewReader(form.Encode()))
		if err != nil {
			b.t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", at.Scheme+"://"+at.Host)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		answer, err := b.client.Do(r)
		if err != nil {
			b.t.Fatalf("%s %s: %v", method, at, err)
		}
		data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
		answer.Body.Close()
		if err != nil {
			b.t.Fatal(err)
		}
		to := answer.Header.Get("Location")
		if to == "" {
			return page{answer.StatusCode, string(data), at}
		}
		if at, err = at.Parse(to); err != nil {
			b.t.Fatal(err)
		}
		method, form = http.MethodGet, nil
	}
	b.t.Fatalf("more than 12 redirects, the last to %s", at)
	return page{}
}

var pinForm = regexp.MustCompile(`<form method="post" action="(/s/[^"]+/pin)"`)

// logIn begins at a page of a service, and ends at what the person sees after the PIN.
func (b *browser) logIn(d *demonstration, pin string) page {
	b.t.Helper()
	b.open(http.MethodGet, d.Mail, nil)
	asked := b.open(http.MethodPost, d.Portal+"login/card", nil) // leads to the agent's page
	if !strings.HasPrefix(asked.url.String(), d.Agent+"/s/") {
		b.t.Fatalf("the login leads to %s, want the agent", asked.url)
	}
	return b.answer(d, asked, pin)
}

// answer waits for the agent to ask for the PIN, types it, and waits for what comes of it.
func (b *browser) answer(d *demonstration, p page, pin string) page {
	b.t.Helper()
	agent := p.url.String()
	var form []string
	wait(b.t, "the agent's question for the PIN", func() bool {
		p = b.open(http.MethodGet, agent, nil)
		form = pinForm.FindStringSubmatch(p.body)
		return form != nil
	})
	if !strings.Contains(p.body, "Jeanne MARTIN") || !strings.Contains(html.UnescapeString(p.body), "ProMess (démonstration)") {
		b.t.Errorf("the agent does not say whose card it is, and for whom: %.500s", p.body)
	}
	p = b.open(http.MethodPost, d.Agent+form[1], url.Values{"pin": {pin}})
	wait(b.t, "the end of the login", func() bool {
		if !strings.HasPrefix(p.url.String(), d.Agent) || strings.Contains(p.body, "Code porteur faux") {
			return true
		}
		p = b.open(http.MethodGet, agent, nil)
		return false
	})
	return p
}

// The demonstration as its own text tells it: log in, pull the card out, put it in, log in again; both kinds of card.
func TestDemonstration(t *testing.T) {
	for name, pss := range map[string]bool{"PKCS #1 v1.5, as a CPS3": false, "PSS, as a CPS4": true} {
		t.Run(name, func(t *testing.T) {
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			d := run(t, demo.Config{Listen: freePort(t).String(), AgentPort: uint16(freePort(t).Port), PSS: pss})
			for _, want := range []string{d.Portal, d.Mail, d.Planning, d.Agent, d.PIN, "Ctrl-C"} {
				if !strings.Contains(d.out.String(), want) {
					t.Errorf("the introduction does not say %q:\n%s", want, d.out.String())
				}
			}
			b := d.browser(t)
			p := b.logIn(d, d.PIN)
			if p.url.String() != d.Mail || p.status != http.StatusOK || !strings.Contains(p.body, "Jeanne MARTIN") || !strings.Contains(p.body, "899700218896") {
				t.Fatalf("after the PIN: %d at %s: %.600s", p.status, p.url, p.body)
			}
			d.out.eventually(t, `"kind":"login_succeeded"`)
			version := "TLS 1.2"
			if pss {
				version = "TLS 1.3"
			}
			if want := `tls="` + version; !strings.Contains(d.log.String(), want) {
				t.Errorf("the card was not proved over %s", version)
			}
			// The other service knows the person too.
			if p := b.open(http.MethodGet, strings.Replace(d.Mail, "mail.", "agenda.", 1), nil); !strings.Contains(p.body, "Jeanne MARTIN") {
				t.Errorf("agenda = %d at %s", p.status, p.url)
			}
			if p := b.open(http.MethodGet, d.Portal, nil); strings.Count(p.body, `src="/logo/`) != 2 {
				t.Errorf("the portal shows %d logos, want one of each service", strings.Count(p.body, `src="/logo/`))
			}

			io.WriteString(d.in, "r\n")
			d.out.eventually(t, "The card is out of the reader.")
			d.out.eventually(t, `"reason":"card_removed"`)
			if p := b.open(http.MethodGet, d.Mail, nil); !strings.HasPrefix(p.url.String(), d.Portal+"login") {
				t.Errorf("the mailbox without the card leads to %s, want the login", p.url)
			}
			io.WriteString(d.in, "\nx\nI\n")
			d.out.eventually(t, "r: pull the card out")
			d.out.eventually(t, "The card is in the reader.")
			if p := b.logIn(d, "9999"); !strings.Contains(p.body, "Code porteur faux") {
				t.Fatalf("after a wrong PIN: %d at %s: %.300s", p.status, p.url, p.body)
			} else if p = b.answer(d, p, d.PIN); p.url.String() != d.Mail {
				t.Errorf("after the right PIN: %d at %s", p.status, p.url)
			}

			d.stop(t)
			d.out.eventually(t, "nothing is left behind")
			for _, address := range []string{d.Listen, strings.TrimPrefix(d.Agent, "http://"), planningAddress(d)} {
				if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
					conn.Close()
					t.Errorf("something listens on %s still", address)
				}
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if text := d.log.String(); strings.Contains(text, "MARTIN") || strings.Contains(text, "899700218896") {
				t.Error("the log names the person")
			}
		})
	}
}

func TestTakenPortsAreReplaced(t *testing.T) {
	var taken [2]*net.TCPAddr
	for i := range taken {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		taken[i] = l.Addr().(*net.TCPAddr)
	}
	d := run(t, demo.Config{Listen: taken[0].String(), AgentPort: uint16(taken[1].Port)})
	if d.Listen == taken[0].String() || d.Agent == "http://"+taken[1].String() {
		t.Fatalf("listens on %s and %s, which are taken", d.Listen, d.Agent)
	}
	if n := strings.Count(d.out.String(), " is taken; port "); n != 2 {
		t.Errorf("the output says so %d times, want 2:\n%s", n, d.out.String())
	}
	if _, port, _ := net.SplitHostPort(d.Listen); !strings.Contains(d.Portal, ":"+port+"/") {
		t.Errorf("the portal is at %s, and the gateway listens on %s", d.Portal, d.Listen)
	}
	if p := d.browser(t).logIn(d, d.PIN); p.url.String() != d.Mail {
		t.Errorf("the login ends at %s", p.url)
	}
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", "192.0.2.1:8443", ":8443", "localhost:8443", "127.0.0.1", "", "[::]:0"} {
		err := demo.Run(t.Context(), demo.Config{Listen: address, Out: io.Discard, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), "is not an address of this machine alone") {
			t.Errorf("Run on %q = %v, want it refused", address, err)
		}
	}
}

// What it names is on the pages, to the letter: a person looks for it there.
func TestWhatItNamesIsOnThePages(t *testing.T) {
	d := run(t, demo.Config{Listen: "127.0.0.1:0"})
	d.out.eventually(t, "Below are the audit events")
	var texts map[string]string
	catalogue, err := os.ReadFile("../web/texts/fr.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(catalogue, &texts); err != nil {
		t.Fatal(err)
	}
	camera, err := os.ReadFile("pages/camera.html")
	if err != nil {
		t.Fatal(err)
	}
	known := slices.Collect(maps.Values(texts))
	names := regexp.MustCompile(`«([^»]+)»`).FindAllStringSubmatch(strings.Join(strings.Fields(d.out.String()), " "), -1)
	if len(names) < 15 {
		t.Fatalf("it names %d things only", len(names))
	}
	for _, n := range names {
		if n[1] != "trois petits chats" && !slices.Contains(known, n[1]) && !strings.Contains(string(camera), ">"+n[1]+"<") {
			t.Errorf("no page says %q", n[1])
		}
	}
}
