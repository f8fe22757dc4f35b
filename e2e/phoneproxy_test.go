package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// between is a proxy that opens TLS, as hospitals have. It keeps event streams back until they have ended, and comes to the gateway from another
// address than the workstations. It returns its port, and how many streams it has kept.
func (w *phoneWorld) between(t *testing.T) (port int, kept *atomic.Int32) {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(w.path("server.crt"), w.path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	kept = new(atomic.Int32)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: r.In.Host})
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: w.pki.ServerRoots()},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return from.DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", w.port))
			},
		},
	}
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			kept.Add(1)
			select { // the gateway ends none of them in less
			case <-r.Context().Done():
			case <-time.After(time.Minute):
			}
			return
		}
		forward.ServeHTTP(rw, r)
	})}
	go server.Serve(l) // ends with Close
	t.Cleanup(func() { server.Close() })
	return l.Addr().(*net.TCPAddr).Port, kept
}

// TestPhoneWhereEventsAreKeptBack adds a phone and signs in with it through a proxy that lets no event through: both sides then ask how far it is. What
// is behind the proxy has another address, which the phone shows in large.
func TestPhoneWhereEventsAreKeptBack(t *testing.T) {
	w := newPhoneWorld(t)
	w.insertDoctor(t)
	port, kept := w.between(t)
	w.telephone = startChromium(t, w.pki.Server.Certificate, func(*chromium) []chromedp.ExecAllocatorOption {
		return append(w.camera(), chromedp.Flag("host-resolver-rules", fmt.Sprintf("MAP *.%s 127.0.0.1:%d", domain, port)))
	})
	phone := device(t, w.telephone)
	w.enrol(t, w.login(t, w.mail("/")), phone, "Téléphone de garde")
	if kept.Load() == 0 {
		t.Error("the phone has not tried to hear of it first")
	}

	t.Run("the phone elsewhere, the workstation hears", func(t *testing.T) {
		b := w.begin(t)
		w.scan(t, phone, b)
		shown := number(t, b)
		phone.awaitView(t, "login")
		phone.await(t, "n’est pas sur le même réseau", "127.0.0.1")
		size := phone.evaluate(`String(parseFloat(getComputedStyle(document.querySelector(".place [data-fill]")).fontSize) / parseFloat(getComputedStyle(document.body).fontSize) >= 1.5)`)
		if size != "true" {
			t.Error("the address is not large")
		}
		phone.pick(t, shown, true)
		phone.awaitView(t, "done")
		b.awaitURL(t, w.auth("/"))
	})
	t.Run("the workstation behind the proxy", func(t *testing.T) {
		b := w.telephone.browser(t)
		b.open(t, w.auth("/login"))
		b.click(t, "form[action='/login/qr'] button")
		b.await(t, "Scannez ce QR code")
		if _, err := chromedp.Call(phone.ctx, page.BringToFront, cdp.Empty{}); err != nil { // a browser asks for no passkey behind another tab
			t.Fatal(err)
		}
		before := kept.Load()
		w.scan(t, phone, b)
		shown := number(t, b)
		phone.awaitView(t, "login")
		if text := phone.text(); strings.Contains(text, "n’est pas sur le même réseau") || !strings.Contains(text, "127.0.0.2") {
			t.Errorf("the phone shows %s", text)
		}
		phone.pick(t, shown, true)
		phone.awaitView(t, "done")
		b.awaitURL(t, w.auth("/"))
		if kept.Load() == before {
			t.Error("the workstation has not tried to hear of it first")
		}
	})
}
