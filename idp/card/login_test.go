package card_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/testpki"
	"promess/authgw/internal/token"
)

func TestCardLoginFromTheFirstPageToTheServiceAndOut(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			w := newWorld(t)
			cert := w.card(t, testpki.Card{Profession: 10})
			b, a := w.browser(t, nil), w.agent(t, &cert, version)
			if p := b.get(mail + "/inbox"); !strings.HasPrefix(p.location, auth+"/login?service=mail") {
				t.Fatalf("service without a session leads to %s", p.location)
			} else if p = b.get(p.location); !strings.Contains(p.body, `action="/login/card"`) || !strings.Contains(p.body, `action="/login/card/browser"`) {
				t.Fatalf("the login page offers not both ways of the card: %.300s", p.body)
			}
			handle := b.begin()
			if got := b.state(); got != "waiting" {
				t.Errorf("state = %q, want waiting", got)
			}
			if status, word := a.fetch(handle); status != http.StatusOK {
				t.Fatalf("fetch = %d %s", status, word)
			}
			if got := b.state(); got != "fetched" {
				t.Errorf("state = %q, want fetched", got)
			}
			proved := a.mustProve(handle)
			if proved.Watch == "" {
				t.Error("the agent has nothing to watch")
			}
			p := b.callback(proved.Code)
			if !strings.HasPrefix(p.location, mail+"/.authgw/enter?") {
				t.Fatalf("callback leads to %d %s, want the service", p.status, p.location)
			}
			if p = b.get(p.location); p.location != mail+"/inbox" {
				t.Fatalf("entry leads to %d %s, want the page that was asked for", p.status, p.location)
			}
			if p = b.get(p.location); p.body != "the mailbox of 899700218896" {
				t.Errorf("service = %d %q", p.status, p.body)
			}
			if got := b.state(); got != "done" {
				t.Errorf("state = %q, want done", got)
			}
			b.send(http.MethodPost, auth+"/logout")
			b.wantSignedIn(false)
			if got := b.state(); got != "over" {
				t.Errorf("state = %q, want over", got)
			}
		})
	}
}

// A code is good once, in the browser that began, for a minute; a handle for two.
func TestCodesAndHandles(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	a := w.agent(t, &cert, 0)

	t.Run("a code used twice", func(t *testing.T) {
		b := w.browser(t, nil)
		code := a.mustProve(b.begin()).Code
		b.callback(code)
		b.wantSignedIn(true)
		if p := b.callback(code); p.status != http.StatusForbidden {
			t.Errorf("second use = %d, want 403", p.status)
		}
		b.wantSignedIn(true) // with the session of the first
	})
	t.Run("D3, relay: the code in a browser that did not begin is refused there, and burnt", func(t *testing.T) {
		b, other := w.browser(t, nil), w.browser(t, nil)
		code := a.mustProve(b.begin()).Code
		other.begin() // has a login of its own in progress
		other.wantUnknown(other.callback(code))
		b.wantUnknown(b.callback(code))
	})
	t.Run("relay to a browser that knows nothing", func(t *testing.T) {
		b, other := w.browser(t, nil), w.browser(t, nil)
		code := a.mustProve(b.begin()).Code
		other.wantUnknown(other.callback(code))
		b.wantUnknown(b.callback(code))
	})
	t.Run("a browser that began a second login has forgotten the first", func(t *testing.T) {
		b := w.browser(t, nil)
		code := a.mustProve(b.begin()).Code
		b.begin()
		b.wantUnknown(b.callback(code))
	})
	t.Run("a handle proved twice", func(t *testing.T) {
		b := w.browser(t, nil)
		handle := b.begin()
		code := a.mustProve(handle).Code
		if _, status, word := a.prove(handle); status != http.StatusNotFound || word != "login_unknown" {
			t.Errorf("second proof = %d %s, want login_unknown", status, word)
		}
		if status, word := a.fetch(handle); status != http.StatusNotFound || word != "login_unknown" {
			t.Errorf("fetch after the proof = %d %s, want login_unknown", status, word)
		}
		b.callback(code)
		b.wantSignedIn(true) // the first proof stands
	})
	t.Run("a handle just in time", func(t *testing.T) {
		b := w.browser(t, nil)
		handle := b.begin()
		w.advance(2*time.Minute - time.Millisecond)
		b.callback(a.mustProve(handle).Code)
		b.wantSignedIn(true)
	})
	t.Run("a handle too late", func(t *testing.T) {
		b := w.browser(t, nil)
		handle := b.begin()
		w.advance(2 * time.Minute)
		if got := b.state(); got != "over" {
			t.Errorf("state = %q, want over", got)
		}
		if status, _ := a.fetch(handle); status != http.StatusNotFound {
			t.Errorf("fetch = %d, want 404", status)
		}
		if _, status, _ := a.prove(handle); status != http.StatusNotFound {
			t.Errorf("prove = %d, want 404", status)
		}
	})
	t.Run("a code too late", func(t *testing.T) {
		b := w.browser(t, nil)
		code := a.mustProve(b.begin()).Code
		w.advance(time.Minute)
		b.wantUnknown(b.callback(code))
	})
	// E2, E8: tokens of other kinds, and parts of tokens, are nothing.
	t.Run("E2 a handle as a code, a code as a handle", func(t *testing.T) {
		b := w.browser(t, nil)
		handle := b.begin()
		b.wantUnknown(b.callback(handle))
		proved := a.mustProve(handle)
		for _, other := range []string{proved.Code, proved.Watch} {
			if status, word := a.fetch(other); status != http.StatusNotFound || word != "login_unknown" {
				t.Errorf("fetch with another token = %d %s, want login_unknown", status, word)
			}
		}
		b.wantUnknown(b.callback(proved.Watch))
		b.callback(proved.Code)
		b.wantSignedIn(true)
	})
	t.Run("E8 truncated tokens", func(t *testing.T) {
		b := w.browser(t, nil)
		handle := b.begin()
		for _, part := range []string{handle[1:], handle[:token.Len-1], handle + "A", handle + "=", "", strings.ToLower(handle)} {
			if status, word := a.fetch(part); status != http.StatusNotFound || word != "login_unknown" {
				t.Errorf("fetch(%d characters) = %d %s, want login_unknown", len(part), status, word)
			}
			if _, status, _ := a.prove(part); status != http.StatusNotFound {
				t.Errorf("prove(%d characters) = %d, want 404", len(part), status)
			}
		}
		code := a.mustProve(handle).Code
		b.wantUnknown(b.callback(code[:token.Len-1]))
		b.callback(code)
		b.wantSignedIn(true)
	})
}

// The page beside the agent's is told about its own browser's login, never about another's.
func TestStatusTellsABrowserOnlyItsOwn(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	b, other := w.browser(t, nil), w.browser(t, nil)
	w.logIn(t, b, w.agent(t, &cert, 0))
	for _, query := range []string{"", "?handle=x", "?browser=x"} {
		if p := other.get(auth + "/login/card/status" + query); p.body != `{"state":"over"}`+"\n" {
			t.Errorf("status of a browser that began nothing = %q, want over and no more", p.body)
		}
	}
	if p := other.get(auth + "/login/card/wait"); p.status != http.StatusOK || strings.Contains(p.body, "MARTIN") {
		t.Errorf("wait page = %d", p.status)
	}
}

// A6, A29: each login takes a signature of the card, and connections of card hosts are neither kept nor resumed.
func TestA6A29EachLoginNeedsANewSignature(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			w := newWorld(t)
			cert := w.card(t, testpki.Card{})
			key := &counting{Signer: must(t, cardKey)}
			cert.PrivateKey = key
			a := w.agent(t, &cert, version)
			a.client.Transport.(*http.Transport).TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(8)
			b := w.browser(t, nil)
			for n := int32(1); n <= 3; n++ {
				w.logIn(t, b, a)
				if got := key.signed.Load(); got != n {
					t.Fatalf("signatures after login %d = %d", n, got)
				}
				b.send(http.MethodPost, auth+"/logout")
			}
		})
	}
}

// B10: without the database nobody comes in, and everybody is told so.
func TestB10DatabaseFailure(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	b, a := w.browser(t, nil), w.agent(t, &cert, 0)
	handle := b.begin()
	code := a.mustProve(handle).Code
	w.store.Close()
	for name, p := range map[string]page{
		"begin":         b.send(http.MethodPost, auth+"/login/card"),
		"begin, itself": b.send(http.MethodPost, auth+"/login/card/browser"),
		"callback":      b.callback(code),
	} {
		if p.status != http.StatusServiceUnavailable || !strings.Contains(p.body, "Service momentanément indisponible") {
			t.Errorf("%s = %d %.200s, want 503", name, p.status, p.body)
		}
	}
	if p := b.get(auth + "/login/card/status"); p.status != http.StatusServiceUnavailable {
		t.Errorf("status = %d, want 503", p.status)
	}
	if status, word := a.fetch(handle); status != http.StatusServiceUnavailable || word != "unavailable" {
		t.Errorf("fetch = %d %s, want 503", status, word)
	}
	if _, status, word := a.prove(handle); status != http.StatusServiceUnavailable || word != "unavailable" {
		t.Errorf("prove = %d %s, want 503", status, word)
	}
	if _, status := a.watch(token.New(), "present"); status != http.StatusServiceUnavailable {
		t.Errorf("watch = %d, want 503", status)
	}
	if _, status := a.watch(token.New(), "removed"); status != http.StatusServiceUnavailable {
		t.Errorf("watch removed = %d, want 503", status)
	}
	if n := len(w.events(t, audit.LoginSucceeded)); n != 0 {
		t.Errorf("%d logins in the audit", n)
	}
}

// No line of log or audit names the person or holds a secret, at level debug too.
func TestLogAndAuditNameNobody(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{GivenName: "ZOÉ", FamilyName: "QUERTIER", NationalID: "810001234567"})
	b, a := w.browser(t, nil), w.agent(t, &cert, 0)
	handle := b.begin()
	a.fetch(handle)
	proved := a.mustProve(handle)
	b.callback(proved.Code)
	b.callback(proved.Code)
	a.watch(proved.Watch, "removed")
	text := w.log.String() + w.audit.String()
	for _, secret := range []string{"ZOÉ", "ZO\\", "QUERTIER", "810001234567", "10001234567", handle, proved.Code, proved.Watch, "2800636234"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the log or the audit", secret)
		}
	}
	if e := w.events(t, audit.LoginSucceeded); len(e) != 1 || e[0].Fingerprint == "" || e[0].Issuer == "" || e[0].Source != "127.0.0.1" || e[0].Method != "card" {
		t.Errorf("logins = %+v, want one with what identifies the card", e)
	}
}
