package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"promess/authgw/internal/passkeytest"
	"promess/authgw/internal/pgtest"
)

// TestPhoneAtAnotherGateway adds a phone and signs in with it, where the workstation and the phone have come to different gateways on one PostgreSQL:
// each side hears at once of what the other does, and what one has begun the other goes on with.
func TestPhoneAtAnotherGateway(t *testing.T) {
	c := newCluster(t, pgtest.Start(t, pgtest.Config{}).Database(t))
	origin := "https://auth." + domain
	b, phone := c.person(t, c.cards(t, 1)[0]), c.person(t, c.cards(t, 1)[0])
	if err := b.logIn(); err != nil {
		t.Fatal(err)
	}
	b.only, phone.only = 0, 1
	device := passkeytest.New(origin, "auth."+domain)

	b.send(t, origin+"/account/phone", "", "")
	here := b.follow(t, origin+"/account/phone/code/events")
	wantStep(t, here, "shown")
	claimed := phone.ask(t, origin+"/phone/claim", map[string]string{"code": b.code(t, origin+"/account/phone/code")})
	wantStep(t, here, "claimed")
	there := phone.follow(t, origin+"/phone/events")
	wantStep(t, there, "claimed")
	b.send(t, origin+"/account/phone/confirm", "application/x-www-form-urlencoded", url.Values{"number": {claimed.Number}}.Encode())
	wantStep(t, there, "confirmed")
	wantStep(t, here, "confirmed")
	key, err := device.Create(phone.ask(t, origin+"/phone/options", struct{}{}).Options)
	if err != nil {
		t.Fatal(err)
	}
	phone.ask(t, origin+"/phone/add", map[string]string{"answer": key, "label": "Téléphone"})
	wantStep(t, here, "done")

	fresh := c.person(t, c.cards(t, 1)[0])
	fresh.only = 2
	fresh.send(t, origin+"/login/qr", "", "")
	steps := fresh.follow(t, origin+"/login/qr/events")
	wantStep(t, steps, "shown")
	phone.ask(t, origin+"/phone/claim", map[string]string{"code": fresh.code(t, origin+"/login/qr")})
	wantStep(t, steps, "claimed")
	shown := regexp.MustCompile(`class="number"><strong>(\d\d)<`).FindStringSubmatch(fresh.get(t, origin+"/login/qr"))
	if shown == nil {
		t.Fatal("the workstation shows no number")
	}
	proof, err := device.Get(phone.ask(t, origin+"/phone/pick", map[string]string{"number": shown[1]}).Options)
	if err != nil {
		t.Fatal(err)
	}
	wantStep(t, steps, "picked")
	phone.ask(t, origin+"/phone/approve", map[string]string{"answer": proof})
	wantStep(t, steps, "approved")
	fresh.only = 0 // the browser may come back to any of them
	fresh.send(t, origin+"/login/qr/finish", "", "")
	if page := fresh.get(t, origin+"/account"); !strings.Contains(page, "Téléphone") || !strings.Contains(page, "Mes sessions ouvertes") {
		t.Errorf("the account shows %s", page)
	}
}

func (p *person) get(t *testing.T, address string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.do(t, r)
}

// send posts a body of a kind, or nothing.
func (p *person) send(t *testing.T, address, kind, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	return p.do(t, r)
}

// do returns what the browser is told, which must not be a refusal.
func (p *person) do(t *testing.T, r *http.Request) string {
	t.Helper()
	r.Header.Set("Accept", "text/html")
	a, err := p.browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	data, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
	if err != nil || a.StatusCode >= 400 {
		t.Fatalf("%s %s = %d, %v\n%s", r.Method, r.URL, a.StatusCode, err, data)
	}
	return string(data)
}

// told is what the app of a phone is told.
type told struct {
	Number  string
	Options json.RawMessage
}

// ask sends what the app of a phone sends.
func (p *person) ask(t *testing.T, address string, v any) (a told) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(p.send(t, address, "application/json", string(data))), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// code is what the image on a page says after the #.
func (p *person) code(t *testing.T, address string) string {
	t.Helper()
	page := p.get(t, address)
	start, end := strings.Index(page, `<svg class="qr"`), strings.LastIndex(page, "</svg>")
	if start < 0 || end < start {
		t.Fatalf("no image in %s", page)
	}
	file := filepath.Join(t.TempDir(), "code.svg")
	if err := os.WriteFile(file, []byte(page[start:end+len("</svg>")]), 0o600); err != nil {
		t.Fatal(err)
	}
	picture, err := exec.CommandContext(t.Context(), mustFind(t, "librsvg2-bin", "rsvg-convert"), "--width", "600", file).Output()
	if err != nil {
		t.Fatalf("rsvg-convert: %v", err)
	}
	_, code, _ := strings.Cut(read(t, picture), "#")
	return code
}

// follow opens an event stream, and returns its lines.
func (p *person) follow(t *testing.T, address string) *bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.browser.Do(r)
	if err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("events: %v %v", a, err)
	}
	t.Cleanup(func() { a.Body.Close() })
	lines := bufio.NewScanner(a.Body)
	lines.Buffer(nil, 1<<20)
	return lines
}

// wantStep reads a stream until it tells a step, which must be this one.
func wantStep(t *testing.T, lines *bufio.Scanner, step string) {
	t.Helper()
	for lines.Scan() {
		if lines.Text() == "event: step" && lines.Scan() {
			if got := lines.Text(); got != "data: "+step {
				t.Fatalf("told %q, want %s", got, step)
			}
			return
		}
	}
	t.Fatalf("the stream ended before %s: %v", step, lines.Err())
}
