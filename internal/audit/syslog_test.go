package audit_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/testpki"
)

// message is the grammar of RFC 5424, section 6, as far as there is no structured data.
var message = regexp.MustCompile(`^<([0-9]{1,3})>([1-9][0-9]{0,2}) ` + // PRI VERSION
	`([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})) ` + // TIMESTAMP
	`(-|[!-~]{1,255}) (-|[!-~]{1,48}) (-|[!-~]{1,128}) (-|[!-~]{1,32}) ` + // HOSTNAME APP-NAME PROCID MSGID
	`(-) ` + // STRUCTURED-DATA
	`((?s).*)$`) // MSG

// wantMessage parses a message and compares it with the event that was recorded.
func wantMessage(t *testing.T, text, pri, subject string) {
	t.Helper()
	m := message.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%q is no message of RFC 5424", text)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{1: pri, 2: "1", 4: host, 5: "authgw", 6: strconv.Itoa(os.Getpid())} {
		if m[i] != want {
			t.Errorf("field %d of %q is %q, want %q", i, text, m[i], want)
		}
	}
	var e struct {
		audit.Event
		Seq  int64
		Prev string
	}
	if err := json.Unmarshal([]byte(m[9]), &e); err != nil {
		t.Fatalf("message %q: %v", m[9], err)
	}
	at, err := time.Parse(time.RFC3339Nano, m[3])
	if err != nil || !at.Equal(e.Time.Truncate(time.Microsecond)) {
		t.Errorf("TIMESTAMP = %s, %v, want %v", m[3], err, e.Time)
	}
	if login := e.Kind == audit.LoginSucceeded; login != (e.Browser == "Firefox 153, Linux") {
		t.Errorf("browser = %q of %s", e.Browser, e.Kind)
	}
	if m[7] != string(e.Kind) || e.Subject != subject || e.Seq == 0 || len(e.Prev) != 64 {
		t.Errorf("message %q, want that of %s, with its number and the head that it follows", text, subject)
	}
}

// syslogTo starts a log that sends to an address.
func syslogTo(t *testing.T, w *world, address string, roots *x509.CertPool) *audit.Log {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c := w.config(nil)
	c.Syslog = &audit.Syslog{URL: u, Roots: roots}
	return w.start(c)
}

// twoEvents records a refusal and a login.
func twoEvents(t *testing.T, l *audit.Log) {
	t.Helper()
	for _, e := range []audit.Event{
		{Kind: audit.LoginRefused, Outcome: "refused", Reason: "revoked", Subject: "u-1", Detail: "é\n\"]"},
		{Kind: audit.LoginSucceeded, Outcome: "success", Subject: "u-2", Browser: "Firefox 153, Linux"},
	} {
		if err := l.Record(e); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	patience = 20 * time.Second
	// RFC 5424, section 6.2.1: facility authpriv is 10, warning 4, notice 5.
	authWarning, authNotice = "84", "85"
)

func TestSyslogDatagrams(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "log")
	for network, address := range map[string]string{"udp": "127.0.0.1:0", "unixgram": socket} {
		t.Run(network, func(t *testing.T) {
			c, err := net.ListenPacket(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			to := "udp://" + c.LocalAddr().String()
			if network == "unixgram" {
				to = "unix://" + socket
			}
			twoEvents(t, syslogTo(t, newSQLite(t), to, nil))
			c.SetReadDeadline(time.Now().Add(patience))
			for i, pri := range []string{authWarning, authNotice} {
				b := make([]byte, 65536)
				n, _, err := c.ReadFrom(b)
				if err != nil {
					t.Fatal(err)
				}
				wantMessage(t, string(b[:n]), pri, fmt.Sprintf("u-%d", i+1))
			}
		})
	}
}

// frame reads a message with its length before it: RFC 6587, section 3.4.1, and RFC 5425, section 4.3.
func frame(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	digits, err := r.ReadString(' ')
	if err != nil || digits[0] == '0' {
		t.Fatalf("MSG-LEN = %q, %v", digits, err)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(digits, " "))
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSyslogStreams(t *testing.T) {
	pki, err := testpki.New(testpki.Config{CardsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pki.ServerCertificate("localhost")
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"tcp", "tls"} {
		t.Run(scheme, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(l.Addr().String())
			if scheme == "tls" {
				l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
			}
			defer l.Close()
			w := newSQLite(t)
			log := syslogTo(t, w, scheme+"://localhost:"+port, pki.ServerRoots())
			twoEvents(t, log)
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(patience))
			r := bufio.NewReader(c)
			wantMessage(t, frame(t, r), authWarning, "u-1")
			wantMessage(t, frame(t, r), authNotice, "u-2")

			// A server that is started anew gets what comes then, from the beginning of a message.
			c.Close()
			again := make(chan net.Conn, 1)
			go func() {
				if c, err := l.Accept(); err == nil {
					again <- c
				}
			}()
			for i := 3; ; i++ { // the kernel takes what the server does not read until it has heard of the end
				if err := log.Record(audit.Event{Kind: audit.LoginSucceeded, Subject: fmt.Sprintf("u-%d", i)}); err != nil {
					t.Fatal(err)
				}
				select {
				case c = <-again:
				case <-time.After(10 * time.Millisecond):
					if i < 2000 {
						continue
					}
					t.Fatal("no second connection")
				}
				break
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			if m := frame(t, bufio.NewReader(c)); message.FindString(m) == "" {
				t.Errorf("%q is no message", m)
			}
		})
	}
	t.Run("a tls server that nobody vouches for gets nothing", func(t *testing.T) {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		w := newSQLite(t)
		log := syslogTo(t, w, "tls://localhost:"+port, x509.NewCertPool())
		twoEvents(t, log) // are kept all the same
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		if b, err := io.ReadAll(c); len(b) != 0 || err == nil {
			t.Errorf("the server got %q, %v", b, err)
		}
		if n := log.Waiting(); n["syslog"] != 1 || n["trail"] != 0 { // the first is being tried
			t.Errorf("waiting = %v, want the second event", n)
		}
		log.Close()
		if log.Losses().Copies != 2 {
			t.Errorf("losses = %+v, want the two copies", log.Losses())
		}
		if !strings.Contains(w.log.String(), "certificate signed by unknown authority") {
			t.Errorf("log = %s, want the cause", w.log.String())
		}
	})
}

// A syslog that does not answer, or is not there, holds up nobody. What finds no place is lost, counted and logged; the trail has it.
func TestSyslogThatIsAway(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0") // connects, by the kernel, and is never read
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, address := range map[string]string{
		"does not read": "tcp://" + mute.Addr().String(), "is not there": "tcp://" + gone.Addr().String(), "has no socket": "unix:///nowhere/log",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSQLite(t)
			l := syslogTo(t, w, address, nil)
			const persons, events = 100, 60 // more than the queue has room for
			done := make(chan error, persons)
			for range persons {
				go func() {
					for range events {
						if err := l.Record(audit.Event{Kind: audit.LoginSucceeded, Detail: strings.Repeat("x", 1000)}); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range persons {
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			w.whole(persons * events)
			l.Close()
			if name != "does not read" && l.Losses().Copies != persons*events {
				t.Errorf("losses = %+v, want all copies", l.Losses())
			}
			if l.Losses().Copies > 0 && !strings.Contains(w.log.String(), `"msg":"copies of audit events lost","component":"audit","output":"syslog"`) {
				t.Errorf("log = %s, want the loss", w.log.String())
			}
		})
	}
}
