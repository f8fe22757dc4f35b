package agent_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"promess/authgw/internal/agent"
	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/softcard"
	"promess/authgw/internal/web"
)

func TestLoginProvesTheCardAndComesBackThroughTheBrowser(t *testing.T) {
	for _, test := range []struct {
		name    string
		card    func(*softcard.Config)
		version uint16
	}{
		{"an RSA card that signs PKCS #1 only uses TLS 1.2", nil, tls.VersionTLS12},
		{"an RSA card that signs PSS uses TLS 1.3", func(c *softcard.Config) { c.PSS = true }, tls.VersionTLS13},
		{"a P-256 card uses TLS 1.3", func(c *softcard.Config) { *c = newCardConfig(t, newECKey(t)) }, tls.VersionTLS13},
	} {
		t.Run(test.name, func(t *testing.T) {
			card := newCard(t, test.card)
			w := newWorld(t, card, nil)
			path := w.start()
			ask := w.until(path, "AgentPINPage")
			if ask.text("Gateway") != "Hôpital" || ask.text("Origin") != "https://"+authHost || ask.text("Holder") != "Jeanne MARTIN" {
				t.Errorf("PIN page = %s, want the gateway, its origin and the holder", ask.page)
			}
			w.givePIN(path, rightPIN)
			if a := w.browse("GET", path, nil, nil); a.status != http.StatusOK {
				t.Errorf("the page after a form = %d, want 200: its policy forbids a redirect to the gateway", a.status)
			}
			done := w.until(path, "redirect")
			if want := "https://" + authHost + cardwire.CallbackPath + theCode; done.location != want {
				t.Errorf("redirect to %q, want %q", done.location, want)
			}
			proofs := w.gw.seen()
			if len(proofs) != 1 || proofs[0].version != test.version || proofs[0].handle != theHandle {
				t.Errorf("proofs = %+v, want one over %s", proofs, tls.VersionName(test.version))
			}
			if card.LoggedIn() {
				t.Error("the card still signs after the login")
			}
		})
	}
}

func TestPIN(t *testing.T) {
	t.Run("a wrong PIN is asked again and the right one goes on", func(t *testing.T) {
		card := newCard(t, nil)
		w := newWorld(t, card, nil)
		path := w.start()
		w.until(path, "AgentPINPage")
		w.givePIN(path, wrongPIN)
		again := w.until(path, "AgentPINPage")
		if again.text("Wrong") != "true" || again.text("Last") != "false" {
			t.Errorf("second question = %s, want wrong and not last", again.page)
		}
		w.givePIN(path, rightPIN)
		w.until(path, "redirect")
		if got := card.Presented(); got != 2 {
			t.Errorf("the card was given %d PINs, want 2: none is sent twice", got)
		}
	})
	t.Run("the last try is said before it is taken, then the card is locked", func(t *testing.T) {
		card := newCard(t, nil)
		w := newWorld(t, card, nil)
		path := w.start()
		for try := range 3 {
			ask := w.until(path, "AgentPINPage")
			if got, want := ask.text("Last") == "true", try == 2; got != want {
				t.Errorf("question %d says last = %v, want %v", try+1, got, want)
			}
			w.givePIN(path, wrongPIN)
		}
		w.failsWith(path, "pin_locked")
		again := w.start()
		w.failsWith(again, "pin_locked")
		if got := card.Presented(); got != 3 {
			t.Errorf("the card was given %d PINs, want 3: a locked card is not asked for one", got)
		}
	})
	t.Run("a PIN of the wrong shape never reaches the card", func(t *testing.T) {
		card := newCard(t, nil)
		w := newWorld(t, card, nil)
		path := w.start()
		w.until(path, "AgentPINPage")
		for _, pin := range []string{"", "471", "47111", "47a1", "４７１１", " 4711", "4711\n", "471١"} {
			w.givePIN(path, pin)
			if ask := w.until(path, "AgentPINPage"); ask.text("Shape") != "true" {
				t.Errorf("after %q the page = %s, want shape", pin, ask.page)
			}
		}
		w.browse("POST", path+"/pin", url.Values{"pin": {rightPIN, rightPIN}}, nil)
		w.browse("POST", path+"/pin", nil, nil)
		if got := card.Presented(); got != 0 {
			t.Errorf("the card was given %d PINs, want 0", got)
		}
	})
	t.Run("a form that is not the page's own is refused", func(t *testing.T) {
		card := newCard(t, nil)
		w := newWorld(t, card, nil)
		path := w.start()
		w.until(path, "AgentPINPage")
		for name, change := range map[string]func(*http.Request){
			"of another origin": func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
			"of no origin":      func(r *http.Request) { r.Header.Del("Origin") },
			"of origin null":    func(r *http.Request) { r.Header.Set("Origin", "null") },
			"of another site":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
			"of the same site":  func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
			"by a fetch":        func(r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "cors") },
			"of another type":   func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
			"that is too large": func(r *http.Request) {
				r.Body = io.NopCloser(strings.NewReader("pin=" + rightPIN + "&x=" + strings.Repeat("y", 4096)))
				r.ContentLength = -1
			},
		} {
			a := w.browse("POST", path+"/pin", url.Values{"pin": {rightPIN}}, change)
			if a.kind != "AgentErrorPage" || a.text("Code") != "bad_request" || a.status < 400 {
				t.Errorf("a form %s = %d %s, want bad_request", name, a.status, a.page)
			}
		}
		if got := card.Presented(); got != 0 {
			t.Errorf("the card was given %d PINs, want 0", got)
		}
	})
	t.Run("cancelled on the page", func(t *testing.T) {
		w := newWorld(t, newCard(t, nil), nil)
		path := w.start()
		w.until(path, "AgentPINPage")
		w.browse("POST", path+"/cancel", nil, nil)
		w.failsWith(path, "cancelled")
	})
	t.Run("never given", func(t *testing.T) {
		w := newWorld(t, newCard(t, nil), func(c *agent.Config, _ *gateway) { c.PINTimeout = 50 * time.Millisecond })
		w.failsWith(w.start(), "expired")
	})
	t.Run("later than the gateway waits", func(t *testing.T) {
		w := newWorld(t, newCard(t, nil), func(_ *agent.Config, g *gateway) {
			g.handle(cardwire.FetchPath, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, cardwire.Fetched{ExpiresIn: 1}) })
		})
		w.failsWith(w.start(), "expired")
	})
}

// promptFunc is a dialog.
type promptFunc func(context.Context, agent.PINRequest) (string, error)

func (f promptFunc) AskPIN(ctx context.Context, r agent.PINRequest) (string, error) { return f(ctx, r) }

func TestDialog(t *testing.T) {
	withPrompt := func(f promptFunc) func(*agent.Config, *gateway) {
		return func(c *agent.Config, _ *gateway) { c.Prompt = f }
	}
	t.Run("it names gateway, origin, holder and what went wrong", func(t *testing.T) {
		card := newCard(t, nil)
		answers := []string{wrongPIN, "abc", wrongPIN, rightPIN}
		var asked []agent.PINRequest
		w := newWorld(t, card, withPrompt(func(_ context.Context, r agent.PINRequest) (string, error) {
			asked = append(asked, r)
			return answers[len(asked)-1], nil
		}))
		w.until(w.start(), "redirect")
		base := agent.PINRequest{Gateway: "Hôpital", Origin: "https://" + authHost, Holder: "Jeanne MARTIN", Min: 4, Max: 4}
		want := []agent.PINRequest{base, base, base, base}
		want[1].Wrong = true
		want[2].Shape = true
		want[3].Wrong, want[3].Last = true, true
		for i := range want {
			if i >= len(asked) || asked[i] != want[i] {
				t.Fatalf("questions = %+v, want %+v", asked, want)
			}
		}
		if got := card.Presented(); got != 3 {
			t.Errorf("the card was given %d PINs, want 3", got)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		w := newWorld(t, newCard(t, nil), withPrompt(func(context.Context, agent.PINRequest) (string, error) { return "", agent.ErrCancelled }))
		w.failsWith(w.start(), "cancelled")
	})
	t.Run("where none can be shown, the page asks", func(t *testing.T) {
		w := newWorld(t, newCard(t, nil), withPrompt(func(context.Context, agent.PINRequest) (string, error) { return "", errors.New("no display") }))
		path := w.start()
		w.until(path, "AgentPINPage")
		w.givePIN(path, rightPIN)
		w.until(path, "redirect")
	})
	t.Run("the card pulled out closes it", func(t *testing.T) {
		card := newCard(t, nil)
		shown, closed := make(chan struct{}), make(chan struct{})
		w := newWorld(t, card, withPrompt(func(ctx context.Context, _ agent.PINRequest) (string, error) {
			close(shown)
			<-ctx.Done()
			close(closed)
			return "", ctx.Err()
		}))
		path := w.start()
		<-shown
		card.Remove()
		<-closed
		w.failsWith(path, "card_removed")
	})
}

func TestCardTroubleIsToldByItsOwnPage(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		code string
	}{
		{"no service", agent.ErrNoService, "no_service"},
		{"no reader", agent.ErrNoReader, "no_reader"},
		{"no card", agent.ErrNoCard, "no_card"},
		{"no certificate", agent.ErrNoCertificate, "no_certificate"},
		{"stalled", agent.ErrStalled, "stalled"},
		{"something else", errors.New("open: CKR_DEVICE_ERROR on the card of MARTIN"), "card_software"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, brokenCards{err: test.err}, nil)
			a := w.failsWith(w.start(), test.code)
			if test.code == "card_software" && a.text("Detail") != "CKR_DEVICE_ERROR" {
				t.Errorf("detail = %q, want the return value alone", a.text("Detail"))
			}
			if got, want := a.text("RetryURL"), "https://"+authHost+"/login"; got != want {
				t.Errorf("retry leads to %q, want %q", got, want)
			}
		})
	}
}

type brokenCards struct{ err error }

func (b brokenCards) Open(context.Context) (agent.Use, error)                  { return nil, b.err }
func (b brokenCards) WaitRemoved(ctx context.Context, _ agent.TokenInfo) error { return b.err }

func TestCardPulledOut(t *testing.T) {
	t.Run("while the page asks for the PIN", func(t *testing.T) {
		card := newCard(t, nil)
		w := newWorld(t, card, nil)
		path := w.start()
		w.until(path, "AgentPINPage")
		card.Remove()
		w.failsWith(path, "card_removed")
	})
	t.Run("while it signs", func(t *testing.T) {
		card := newCard(t, nil)
		signing := make(chan struct{})
		w := newWorld(t, changedCards{Card: card, sign: func(crypto.Signer, []byte, crypto.SignerOpts) ([]byte, error) {
			close(signing)
			card.Remove()
			select {} // as OpenSC does: the call never comes back
		}}, nil)
		path := w.start()
		w.until(path, "AgentPINPage")
		w.givePIN(path, rightPIN)
		<-signing
		w.failsWith(path, "card_removed")
		if len(w.gw.seen()) != 0 {
			t.Error("the gateway has seen a proof")
		}
	})
	t.Run("while the session lives, the gateway is told within 2 s", func(t *testing.T) {
		card := newCard(t, nil)
		w := newWorld(t, card, nil)
		path := w.start()
		w.until(path, "AgentPINPage")
		w.givePIN(path, rightPIN)
		w.until(path, "redirect")
		card.Remove()
		select {
		case <-w.gw.removed:
		case <-time.After(2 * time.Second):
			t.Errorf("the gateway was not told within 2 s\n%s", w.log)
		}
	})
	t.Run("the gateway is told again when it does not answer at first", func(t *testing.T) {
		card := newCard(t, nil)
		var told atomic.Int32
		done := make(chan struct{})
		w := newWorld(t, card, func(_ *agent.Config, g *gateway) {
			g.handle(cardwire.WatchPath, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				switch {
				case strings.Contains(string(body), cardwire.CardPresent):
					<-r.Context().Done()
				case told.Add(1) < 3:
					reply(w, http.StatusServiceUnavailable, cardwire.Error{Error: "unavailable"})
				default:
					close(done)
					reply(w, http.StatusOK, cardwire.Watched{})
				}
			})
		})
		path := w.start()
		w.until(path, "AgentPINPage")
		w.givePIN(path, rightPIN)
		w.until(path, "redirect")
		card.Remove()
		select {
		case <-done:
		case <-time.After(patience):
			t.Errorf("told %d times, want 3", told.Load())
		}
	})
}

// twoCards is a workstation with two readers.
type twoCards [2]*softcard.Card

func (c twoCards) Open(ctx context.Context) (agent.Use, error) {
	a, _ := c[0].Open(ctx)
	b, _ := c[1].Open(ctx)
	return twoUses{a, b}, nil
}

func (c twoCards) WaitRemoved(ctx context.Context, info agent.TokenInfo) error {
	if info.Reader == "Reader 2" {
		return c[1].WaitRemoved(ctx, info)
	}
	return c[0].WaitRemoved(ctx, info)
}

type twoUses [2]agent.Use

func (u twoUses) Tokens(ctx context.Context) ([]agent.Token, error) {
	a, _ := u[0].Tokens(ctx)
	b, _ := u[1].Tokens(ctx)
	return append(a, b...), nil
}

func (u twoUses) Close() error { return errors.Join(u[0].Close(), u[1].Close()) }

func TestSeveralCardsAreOffered(t *testing.T) {
	second := newCard(t, func(c *softcard.Config) { *c = newCardConfig(t, newECKey(t)); c.Reader = "Reader 2" })
	w := newWorld(t, twoCards{newCard(t, nil), second}, nil)
	path := w.start()
	ask := w.until(path, "AgentChoicePage")
	if !strings.Contains(string(ask.page), "Reader 1") || !strings.Contains(string(ask.page), "Reader 2") {
		t.Errorf("choice = %s, want both readers", ask.page)
	}
	for _, value := range []string{"", "2", "-1", "x"} {
		w.browse("POST", path+"/token", url.Values{"token": {value}}, nil)
		w.until(path, "AgentChoicePage")
	}
	w.browse("POST", path+"/token", url.Values{"token": {"1"}}, nil)
	w.until(path, "AgentPINPage")
	w.givePIN(path, rightPIN)
	w.until(path, "redirect")
	if second.Presented() != 1 {
		t.Error("the second card was not the one that was asked")
	}
}

func TestStopEndsTheLoginAndReleasesTheCard(t *testing.T) {
	card := newCard(t, nil)
	shown := make(chan struct{})
	w := newWorld(t, card, func(c *agent.Config, _ *gateway) {
		c.Prompt = promptFunc(func(ctx context.Context, _ agent.PINRequest) (string, error) {
			close(shown)
			<-ctx.Done()
			return "", ctx.Err()
		})
	})
	w.start()
	<-shown
	w.stop()
	if card.LoggedIn() {
		t.Error("the card is logged in after the agent has stopped")
	}
}

func TestServeRefusesOtherAddressesThanLoopback(t *testing.T) {
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := agent.New(agent.Config{
		Gateways: []agent.Gateway{{Name: "a", Origin: "https://a.test", Card: "https://b.test"}}, Cards: brokenCards{}, Pages: pages{},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "not an address of 127.0.0.1") {
		t.Errorf("Serve(0.0.0.0) = %v, want a refusal", err)
	}
}

func TestRealPages(t *testing.T) {
	real, err := web.NewPages(web.Site{Name: "ProMess", Agent: true})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, newCard(t, nil), func(c *agent.Config, _ *gateway) {
		c.Pages = real
		c.Prompt = promptFunc(func(ctx context.Context, _ agent.PINRequest) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
	})
	a := w.browse("GET", w.start(), nil, nil)
	for name, want := range map[string]string{
		"Refresh":                 "1",
		"Cache-Control":           "no-store",
		"Referrer-Policy":         "same-origin",
		"Content-Security-Policy": "default-src 'none'",
	} {
		if got := a.header.Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s of the status page = %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("policy = %q, want no frame", a.header.Get("Content-Security-Policy"))
	}
}
