package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	oidcRounds   = 8
	oidcFlows    = 400  // of each provider in each round
	oidcWarm     = 1000 // before the first round: connections are open then, and Node.js has compiled what it runs often
	oidcVisitors = 16   // at once, each with a session of its own
	oidcRedirect = "https://agenda.promess.test/callback"
	oidcClient   = "agenda"
)

// provider is one that is measured. All requests go over HTTP/1.1 connections that stay open, one for each visitor.
type provider struct {
	name           string
	process        int
	authorize      string // endpoints
	token          string
	userinfo       string
	introspect     string
	client, secret string
	login          func(login *url.URL) *http.Request // answers a login page; nil: there is none, for who has a session
	browsers       []*http.Client                     // each with an open session
	codes, tokens  []string                           // of the round
	verifiers      []string
	cpu            [3]time.Duration // of authorize, token and userinfo, in all rounds
	flows          int
	perCPU         []float64 // flows per CPU second, of each round
}

// BenchmarkOIDC compares the code flow of somebody with an open session (authorize, token, userinfo; PKCE S256, client_secret_basic) between 'authgw
// serve', npm oidc-provider, and the example server of the library that authgw's provider is made of. They take turns in one run, so that what
// else the machine does falls on all. What is measured is the CPU (user and system) of the server's process. It reports
//
//	<name>-flows/cpu-s                 flows per CPU second
//	<name>-authorize-µs, -token-µs …   CPU of each request
//	×<name>                            flows of authgw for one of the other
//
// Odds: authgw and oidc-provider speak TLS and sign with ES256, the example server speaks plain HTTP and signs with RS256. authgw writes
// to a SQLite file, the others keep everything in memory. The example server has no sessions: it wants a login each time, whose form the
// benchmark sends at once, with a password that is compared as it is; that is counted as part of authorize.
func BenchmarkOIDC(b *testing.B) {
	ours, npm, example := startAuthgw(b), startNPM(b), startExampleServer(b)
	all := []*provider{ours, npm, example}
	for b.Loop() {
		for _, p := range all {
			p.round(b, oidcWarm)
			p.cpu, p.flows, p.perCPU = [3]time.Duration{}, 0, nil
		}
		for range oidcRounds {
			for _, p := range all {
				p.round(b, oidcFlows)
			}
		}
	}
	for _, p := range all {
		p.report(b)
	}
	b.ReportMetric(ours.rate()/npm.rate(), "×"+npm.name)
	b.ReportMetric(ours.rate()/example.rate(), "×"+example.name)
	b.ReportMetric(0, "ns/op") // most of it is ours
}

// BenchmarkIntrospection asks 'authgw serve' and npm oidc-provider about access tokens that are good, in turns of introspectWindow. It reports
//
//	<name>-tokens/cpu-s   introspections per CPU second of the server's process
//	<name>-tokens/s       introspections per second, while the benchmark shares the processors
func BenchmarkIntrospection(b *testing.B) {
	all := []*provider{startAuthgw(b), startNPM(b)}
	for _, p := range all {
		p.round(b, oidcWarm)
	}
	for b.Loop() {
		used, asked, spent := make([]time.Duration, len(all)), make([]int, len(all)), make([]time.Duration, len(all))
		for range introspectRounds {
			for i, p := range all {
				p.round(b, oidcVisitors) // new tokens
				before, began := cpu(b, p.process), time.Now()
				asked[i] += p.introspectFor(b, introspectWindow)
				used[i] += cpu(b, p.process) - before
				spent[i] += time.Since(began)
			}
		}
		for i, p := range all {
			b.ReportMetric(float64(asked[i])/used[i].Seconds(), p.name+"-tokens/cpu-s")
			b.ReportMetric(float64(asked[i])/spent[i].Seconds(), p.name+"-tokens/s")
		}
	}
	b.ReportMetric(0, "ns/op") // most of it is ours
}

const (
	introspectRounds = 5
	introspectWindow = 2 * time.Second
)

// introspectFor asks about the tokens of the last round, and returns how many times.
func (p *provider) introspectFor(b *testing.B, window time.Duration) int {
	b.Helper()
	counts := make([]int, len(p.browsers))
	var g errgroup.Group
	for v := range p.browsers {
		g.Go(func() error {
			for end := time.Now().Add(window); time.Now().Before(end); counts[v]++ {
				var said struct{ Active bool }
				if err := p.post(b.Context(), p.browsers[v], p.introspect, url.Values{"token": {p.tokens[v]}}, &said); err != nil {
					return err
				}
				if !said.Active {
					return fmt.Errorf("%s: a good token is said to be none", p.name)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}

func (p *provider) report(b *testing.B) {
	b.Helper()
	b.ReportMetric(p.rate(), p.name+"-flows/cpu-s")
	for i, part := range []string{"authorize", "token", "userinfo"} {
		b.ReportMetric(float64(p.cpu[i].Microseconds())/float64(p.flows), p.name+"-"+part+"-µs")
	}
	slices.Sort(p.perCPU)
	b.Logf("%s: flows per CPU second in %d rounds: %.0f", p.name, len(p.perCPU), p.perCPU)
}

// rate is how many flows a second of CPU is good for.
func (p *provider) rate() float64 {
	return float64(p.flows) / (p.cpu[0] + p.cpu[1] + p.cpu[2]).Seconds()
}

// round makes n flows: all authorizations, then all exchanges, then all questions for userinfo, so that the CPU of each can be told.
func (p *provider) round(b *testing.B, n int) {
	b.Helper()
	p.codes, p.tokens, p.verifiers = make([]string, n), make([]string, n), make([]string, n)
	var sum time.Duration
	for part, do := range []func(context.Context, *http.Client, int) error{p.getCode, p.exchange, p.ask} {
		before := cpu(b, p.process)
		var g errgroup.Group
		for v := range p.browsers {
			g.Go(func() error {
				for i := v; i < n; i += len(p.browsers) {
					if err := do(b.Context(), p.browsers[v], i); err != nil {
						return fmt.Errorf("%s: %w", p.name, err)
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
		used := cpu(b, p.process) - before
		p.cpu[part] += used
		sum += used
	}
	p.flows += n
	p.perCPU = append(p.perCPU, float64(n)/sum.Seconds())
}

// getCode follows where the provider leads until it comes back with a code.
func (p *provider) getCode(ctx context.Context, c *http.Client, i int) error {
	p.verifiers[i] = rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(p.verifiers[i]))
	state := rand.Text()
	next := p.authorize + "?" + url.Values{
		"response_type": {"code"}, "client_id": {p.client}, "redirect_uri": {oidcRedirect}, "scope": {"openid profile email"}, "state": {state},
		"nonce": {rand.Text()}, "code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode()
	for range 8 {
		at, err := url.Parse(next)
		if err != nil {
			return err
		}
		if strings.HasPrefix(next, oidcRedirect) {
			q := at.Query()
			if p.codes[i] = q.Get("code"); p.codes[i] == "" || q.Get("state") != state {
				return fmt.Errorf("comes back with %q", q)
			}
			return nil
		}
		r := &http.Request{Method: http.MethodGet, URL: at, Header: http.Header{"Accept": {"text/html"}}}
		if p.login != nil && strings.HasPrefix(at.Path, "/login") {
			r = p.login(at)
		}
		for _, h := range [][2]string{{"Sec-Fetch-Mode", "navigate"}, {"Sec-Fetch-Dest", "document"}, {"Sec-Fetch-Site", "cross-site"}} {
			r.Header.Set(h[0], h[1])
		}
		answer, body, err := send(ctx, c, r)
		if err != nil {
			return err
		}
		to := answer.Header.Get("Location")
		if _, refresh, ok := strings.Cut(answer.Header.Get("Refresh"), "; url="); ok {
			to = refresh
		}
		if to == "" {
			return fmt.Errorf("%s answers %s\n%.500s", at, answer.Status, body)
		}
		follow, err := at.Parse(to)
		if err != nil {
			return err
		}
		next = follow.String()
	}
	return fmt.Errorf("too many redirects, the last to %s", next)
}

func (p *provider) exchange(ctx context.Context, c *http.Client, i int) error {
	var tokens struct {
		Access string `json:"access_token"`
		ID     string `json:"id_token"`
	}
	err := p.post(ctx, c, p.token, url.Values{
		"grant_type": {"authorization_code"}, "code": {p.codes[i]}, "redirect_uri": {oidcRedirect}, "code_verifier": {p.verifiers[i]},
	}, &tokens)
	if err == nil && (tokens.Access == "" || strings.Count(tokens.ID, ".") != 2) {
		err = fmt.Errorf("token answer without tokens")
	}
	p.tokens[i] = tokens.Access
	return err
}

func (p *provider) ask(ctx context.Context, c *http.Client, i int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.userinfo, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+p.tokens[i])
	answer, body, err := send(ctx, c, r)
	if err != nil {
		return err
	}
	var claims struct{ Sub, Name string }
	if err := json.Unmarshal(body, &claims); err != nil || claims.Sub == "" || claims.Name == "" {
		return fmt.Errorf("userinfo: %s %v\n%.300s", answer.Status, err, body)
	}
	return nil
}

// post sends a form of the client, with its secret.
func (p *provider) post(ctx context.Context, c *http.Client, address string, form url.Values, to any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(p.client, p.secret)
	answer, body, err := send(ctx, c, r)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s\n%.300s", address, answer.Status, body)
	}
	return json.Unmarshal(body, to)
}

func send(ctx context.Context, c *http.Client, r *http.Request) (*http.Response, []byte, error) {
	answer, err := c.Do(r.WithContext(ctx))
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return answer, body, err
}

// cpu is what a process has used, user and system, all threads.
func cpu(b *testing.B, process int) time.Duration {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	if err != nil {
		b.Fatal(err)
	}
	// proc(5): the name, in parentheses, may hold spaces; utime and stime are the fields 14 and 15, in hundredths of a second.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
