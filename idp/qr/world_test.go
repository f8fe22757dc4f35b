package qr_test

import (
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/idp/passkey"
	"promess/authgw/idp/qr"
	"promess/authgw/internal/idptest"
	"promess/authgw/internal/passkeytest"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

// Where the tests' browsers are.
const (
	workstation = "127.0.0.1"
	telephone   = "127.0.0.2" // on another network than the workstation
	attacker    = "127.0.0.3"
)

// keys are made up: they keep nothing.
const keyFile = "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"

type world struct {
	*idptest.World
	keys   *seal.Keys
	method *qr.Method

	mu   sync.Mutex
	left int // times that the method asks for the time before then
	then func()
}

// meanwhile lets something happen in the middle of the next request: when the method, or what keeps its keys, asks for the time the nth time. The
// first is to read how far the login is, and those that follow are to write.
func (w *world) meanwhile(n int, f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.then = n, f
}

// now is their clock.
func (w *world) now() time.Time {
	w.mu.Lock()
	w.left--
	f := w.then
	if w.left == 0 {
		w.then = nil
	} else {
		f = nil
	}
	w.mu.Unlock()
	if f != nil {
		f()
	}
	return w.Now()
}

func newWorld(t testing.TB, networks ...string) *world {
	t.Helper()
	w := &world{}
	var err error
	if w.keys, err = seal.Parse([]byte(keyFile)); err != nil {
		t.Fatal(err)
	}
	var prefixes []netip.Prefix
	for _, n := range networks {
		prefixes = append(prefixes, netip.MustParsePrefix(n))
	}
	w.World = idptest.New(t, func(i *idptest.World) []idp.Method {
		credentials, err := passkey.NewCredentials(passkey.Config{Server: i.Server, Product: "ProMess", Store: i.Store, Log: i.Log, Now: w.now})
		if err != nil {
			t.Fatal(err)
		}
		w.method = qr.New(qr.Config{
			Server: i.Server, Credentials: credentials, Keys: w.keys, Networks: prefixes, Store: i.Store, Log: i.Log, Now: w.now,
		})
		return []idp.Method{w.method, passkey.New(credentials)}
	})
	return w
}

// phone is a telephone: a browser with a device.
type phone struct {
	*idptest.Browser
	device *passkeytest.Device
}

func (w *world) phone(t testing.TB) *phone {
	t.Helper()
	return &phone{w.Browser(t, telephone), passkeytest.New(idptest.Origin, idptest.Host)}
}

// answered is what the app of a phone gets.
type answered struct {
	Kind, Service, Source, Browser, Name, Number, Step, Error, Label string
	Other                                                            bool
	Numbers                                                          []string
	Options                                                          any
	Time                                                             time.Time
}

// ask is what the app sends.
func (p *phone) ask(path string, in any) (answered, int) {
	var out answered
	status := p.Ask("/phone/"+path, in, &out)
	return out, status
}

func (p *phone) claim(code string) (answered, int) {
	return p.ask("claim", map[string]string{"code": code})
}
func (p *phone) deny() (answered, int) { return p.ask("deny", struct{}{}) }
func (p *phone) pick(number string) (answered, int) {
	return p.ask("pick", map[string]string{"number": number})
}

// approve signs what the server asks for.
func (p *phone) approve(t testing.TB, options any) (answered, int) {
	t.Helper()
	answer, err := p.device.Get(encode(t, options))
	if err != nil {
		t.Fatal(err)
	}
	return p.ask("approve", map[string]string{"answer": answer})
}

var image = regexp.MustCompile(`(?s)<div class="qr-frame large".*?</div>`)

// begin begins a login at the workstation.
func begin(t testing.TB, b *idptest.Browser) {
	t.Helper()
	if got := b.Post("/login/qr"); got.Location != "/login/qr" {
		t.Fatalf("begin = %d %s %s", got.Status, got.Location, got.Body)
	}
}

// code is what the image of a page says, and it says it without a login of ours: another program reads it.
func code(t testing.TB, b *idptest.Browser, path string) string {
	t.Helper()
	page := b.Get(path)
	svg := image.FindString(page.Body)
	if svg == "" {
		t.Fatalf("no QR code on the page: %d %s", page.Status, page.Body)
	}
	return codeIn(t, svg)
}

var number = regexp.MustCompile(`(?s)class="number"><strong>(\d\d)</strong>`)

// shownNumber is the number that the workstation shows.
func shownNumber(t testing.TB, b *idptest.Browser) string {
	t.Helper()
	page := b.Get("/login/qr")
	found := number.FindStringSubmatch(page.Body)
	if found == nil {
		t.Fatalf("no number on the page: %s", page.Body)
	}
	return found[1]
}

// enrolled is a phone of whom the world believes.
func (w *world) enrolled(t testing.TB, change ...func(*passkeytest.Device)) *phone {
	t.Helper()
	b, p := w.Browser(t, workstation), w.phone(t)
	for _, f := range change {
		f(p.device)
	}
	b.LogIn()
	if got := b.Post("/account/phone"); got.Location != "/account/phone/code" {
		t.Fatalf("begin = %d %s %s", got.Status, got.Location, got.Body)
	}
	claimed, status := p.claim(code(t, b, "/account/phone/code"))
	if status != http.StatusOK {
		t.Fatalf("claim = %d %+v", status, claimed)
	}
	b.Post("/account/phone/confirm", "number", claimed.Number)
	if got, status := p.add(t, "Mon téléphone"); status != http.StatusOK {
		t.Fatalf("add = %d %+v", status, got)
	}
	return p
}

// add makes the key of a phone that was confirmed.
func (p *phone) add(t testing.TB, label string) (answered, int) {
	t.Helper()
	asked, status := p.ask("options", struct{}{})
	if status != http.StatusOK {
		return asked, status
	}
	answer, err := p.device.Create(encode(t, asked.Options))
	if err != nil {
		t.Fatal(err)
	}
	return p.ask("add", map[string]string{"answer": answer, "label": label})
}

// status is what the workstation learns when it asks.
func status(t testing.TB, b *idptest.Browser) string {
	t.Helper()
	got := b.Get("/login/qr/status")
	_, after, _ := strings.Cut(got.Body, `"step":"`)
	step, _, _ := strings.Cut(after, `"`)
	return step
}

func (w *world) phones(t testing.TB) []store.Factor {
	t.Helper()
	b := w.Browser(t, workstation)
	b.LogIn()
	all, err := w.Store.Factors(t.Context(), w.Session(t, b).Account.Subject)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
