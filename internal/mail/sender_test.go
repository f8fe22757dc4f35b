package mail_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/mailtest"
	"promess/authgw/internal/testpki"
)

var hierarchy = sync.OnceValues(func() (*testpki.PKI, error) { return testpki.New(testpki.Config{CardsOnly: true}) })

// world is a mail server and how it is reached.
type world struct {
	server *mailtest.Server
	config mail.Config
}

// newWorld starts a server on localhost whose certificate is for names.
func newWorld(t *testing.T, c mailtest.Config, names ...string) *world {
	t.Helper()
	pki, err := hierarchy()
	if err != nil {
		t.Fatal(err)
	}
	if len(names) > 0 {
		if c.Certificate, err = pki.ServerCertificate(names...); err != nil {
			t.Fatal(err)
		}
	}
	s := mailtest.Start(t, c)
	return &world{server: s, config: mail.Config{
		Host: "127.0.0.1", Port: s.Port, ImplicitTLS: c.ImplicitTLS, Roots: pki.ServerRoots(), User: c.User, Password: c.Password, Timeout: 10 * time.Second,
		From: "no-reply@promess.example", Product: "ProMess", Origin: "https://auth.promess.example", SupportPhone: "01 23 45 67 89",
		SupportMail: "aide@promess.example", Now: func() time.Time { return asked() },
	}}
}

func asked() time.Time { return time.Date(2026, time.March, 2, 12, 30, 0, 0, time.UTC) }

func (w *world) sender(t *testing.T) *mail.Sender {
	t.Helper()
	s, err := mail.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func code(language string) mail.AddressCode {
	return mail.AddressCode{Language: language, Code: "1234 5678", Minutes: 10, Asked: asked(), Source: "192.0.2.7", Browser: "Firefox 153, Linux"}
}

func (w *world) send(t *testing.T, c mail.AddressCode) mailtest.Message {
	t.Helper()
	if err := w.sender(t).SendAddressCode(t.Context(), "jeanne@example.fr", c); err != nil {
		t.Fatal(err)
	}
	return w.server.Await(t, 1)
}

func TestMessageSaysWhatAPersonMustKnow(t *testing.T) {
	for _, tt := range []struct {
		language, subject string
		words             []string
	}{
		{"fr", "ProMess : Votre code pour vérifier votre adresse e-mail", []string{"02/03/2026 à 13 h 30 (CET)", "vous ?", "pendant 10 minutes"}},
		{"en", "ProMess: Your code to verify your email address", []string{"02/03/2026 at 13:30 (CET)", "This was not you?", "for 10 minutes"}},
		{"", "ProMess : Votre code pour vérifier votre adresse e-mail", nil},
	} {
		t.Run(tt.language, func(t *testing.T) {
			m := newWorld(t, mailtest.Config{}, "127.0.0.1").send(t, code(tt.language))
			if m.From != "no-reply@promess.example" || m.To != "jeanne@example.fr" || !m.TLS {
				t.Errorf("envelope from %q to %q, TLS %t", m.From, m.To, m.TLS)
			}
			if m.Subject != tt.subject {
				t.Errorf("subject %q, want %q", m.Subject, tt.subject)
			}
			if strings.Contains(m.Header.Get("Subject"), "1234") {
				t.Error("the code is in the subject, which servers write to their logs and telephones show while they are locked")
			}
			words := append(tt.words, "1234 5678", "192.0.2.7", "Firefox 153, Linux", "https://auth.promess.example", "01 23 45 67 89", "aide@promess.example")
			for _, word := range words {
				if !strings.Contains(m.Text, word) {
					t.Errorf("the text has no %q:\n%s", word, m.Text)
				}
				if !strings.Contains(m.HTML, word) {
					t.Errorf("the HTML has no %q:\n%s", word, m.HTML)
				}
			}
			for name, want := range map[string]string{
				"From": `"ProMess" <no-reply@promess.example>`, "To": "<jeanne@example.fr>", "Auto-Submitted": "auto-generated",
				"Date": "Mon, 02 Mar 2026 12:30:00 +0000", "User-Agent": "", "X-Mailer": "", "Bcc": "",
			} {
				if got := m.Header.Get(name); got != want {
					t.Errorf("header %s: %q, want %q", name, got, want)
				}
			}
			if id := m.Header.Get("Message-Id"); !strings.HasSuffix(id, "@promess.example>") {
				t.Errorf("Message-Id %q names something else than the sender's domain", id)
			}
			for _, foreign := range []string{"src=", "http://", "<script", "<link"} {
				if strings.Contains(m.HTML, foreign) {
					t.Errorf("the HTML has %q: it may load or lead elsewhere", foreign)
				}
			}
		})
	}
}

// Lesson D20: what somebody else chose is text in the message, and one line of it.
func TestD20TemplatesEscape(t *testing.T) {
	c := code("fr")
	c.Browser = "<a href=\"https://evil.example\">Firefox</a>\r\n\r\nVotre compte est bloqué"
	c.Source = "192.0.2.7\nBcc: x@evil.example"
	m := newWorld(t, mailtest.Config{}, "127.0.0.1").send(t, c)
	if strings.Contains(m.HTML, "<a ") || !strings.Contains(m.HTML, "&lt;a href=") {
		t.Errorf("the browser's name is markup in the HTML:\n%s", m.HTML)
	}
	for line := range strings.Lines(m.Text) {
		if strings.HasPrefix(line, "Votre compte est bloqué") || strings.HasPrefix(line, "Bcc:") {
			t.Errorf("a line of the text was written by somebody else: %q", line)
		}
	}
	if got := m.Header.Get("Bcc"); got != "" {
		t.Errorf("header Bcc: %q", got)
	}
}

func TestRecipientThatIsNoneIsNotSentTo(t *testing.T) {
	w := newWorld(t, mailtest.Config{}, "127.0.0.1")
	for _, to := range []string{"", "jeanne", "a@example.fr,b@example.fr", "jeanne@example.fr\r\nBcc: b@example.fr", "jeanne@example.fr> SIZE=1", "<jeanne@example.fr>"} {
		if err := w.sender(t).SendAddressCode(t.Context(), to, code("fr")); err == nil {
			t.Errorf("sent to %q", to)
		}
	}
	if n := w.server.Count(); n != 0 {
		t.Errorf("%d messages, want none", n)
	}
}

func TestWaysToTheServer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config mailtest.Config
	}{
		{"STARTTLS", mailtest.Config{}},
		{"STARTTLS with a password", mailtest.Config{User: "authgw", Password: "secret"}},
		{"TLS from the first byte", mailtest.Config{ImplicitTLS: true}},
		{"TLS from the first byte with a password", mailtest.Config{ImplicitTLS: true, User: "authgw", Password: "secret"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newWorld(t, tt.config, "127.0.0.1").send(t, code("fr"))
			if !m.TLS || m.User != tt.config.User {
				t.Errorf("TLS %t, user %q, want TLS and %q", m.TLS, m.User, tt.config.User)
			}
		})
	}
	t.Run("in clear to this machine, when the operator says so", func(t *testing.T) {
		w := newWorld(t, mailtest.Config{})
		w.config.InsecureNoTLS = true
		if m := w.send(t, code("fr")); m.TLS {
			t.Error("TLS to a server that has none")
		}
	})
}

// Lesson A28: names are verified, and nothing is sent where they are not.
func TestA28WhatIsNotSent(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config mailtest.Config
		names  []string // of the certificate
		change func(*world)
		want   string
	}{
		{"no STARTTLS offered", mailtest.Config{}, nil, nil, "does not offer STARTTLS"},
		{"no STARTTLS offered, though there is a password to send", mailtest.Config{}, nil,
			func(w *world) { w.config.User, w.config.Password = "authgw", "secret-word" }, "does not offer STARTTLS"},
		{"a certificate for another name", mailtest.Config{}, []string{"smtp.other.example"}, nil, "certificate is not accepted"},
		{"a certificate for another name, TLS first", mailtest.Config{ImplicitTLS: true}, []string{"smtp.other.example"}, nil, "certificate is not accepted"},
		{"a certificate of an authority that is not trusted", mailtest.Config{}, []string{"127.0.0.1"},
			func(w *world) { w.config.Roots = x509.NewCertPool() }, "certificate is not accepted"},
		{"a server with old TLS alone", mailtest.Config{OldTLS: true}, []string{"127.0.0.1"}, nil, "does not take TLS 1.2 or newer"},
		{"TLS first to a server that has none", mailtest.Config{}, nil, func(w *world) { w.config.ImplicitTLS = true }, "does not speak TLS from the first byte"},
		{"the password is wrong", mailtest.Config{User: "authgw", Password: "right"}, []string{"127.0.0.1"},
			func(w *world) { w.config.Password = "secret-word" }, "refused with code 535"},
		{"the recipient is refused", mailtest.Config{}, []string{"127.0.0.1"}, func(w *world) { w.server.Refuse("jeanne@example.fr") }, "code 550"},
		{"the server is down", mailtest.Config{}, []string{"127.0.0.1"}, func(w *world) { w.config.Port = closedPort() }, "no connection"},
		{"the server takes the message and says nothing", mailtest.Config{}, []string{"127.0.0.1"},
			func(w *world) { w.config.Timeout = 500 * time.Millisecond; w.server.FallSilent() }, "did not answer in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.config, tt.names...)
			if tt.change != nil {
				tt.change(w)
			}
			err := w.sender(t).SendAddressCode(t.Context(), "jeanne@example.fr", code("fr"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("SendAddressCode = %v, want an error with %q", err, tt.want)
			}
			for _, private := range []string{"jeanne", "1234 5678", "secret-word"} {
				if strings.Contains(err.Error(), private) {
					t.Errorf("the error shows %q: %v", private, err)
				}
			}
			if n := w.server.Count(); n != 0 {
				t.Errorf("%d messages were sent", n)
			}
		})
	}
}

// closedPort is one that nobody listens on.
func closedPort() uint16 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// A server that answers each line just in time must not hold a request for ever: the bound is on the whole.
func TestServerThatDripsIsLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan struct{})
	go func() { // ends when the client leaves
		defer close(ended)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := c.Write([]byte("220-wait\r\n")); err != nil {
				return
			}
		}
	}()
	w := newWorld(t, mailtest.Config{}, "127.0.0.1")
	w.config.Port, w.config.Timeout = uint16(l.Addr().(*net.TCPAddr).Port), 400*time.Millisecond
	done := make(chan error, 1)
	go func() { done <- w.sender(t).SendAddressCode(t.Context(), "jeanne@example.fr", code("fr")) }()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "did not answer in time") {
			t.Errorf("SendAddressCode = %v, want that it did not answer in time", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("still waiting after 20 s for a message that may take 400 ms")
	}
	<-ended
}

func TestRequestThatEndsEndsTheSending(t *testing.T) {
	w := newWorld(t, mailtest.Config{}, "127.0.0.1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.sender(t).SendAddressCode(ctx, "jeanne@example.fr", code("fr")); !errors.Is(err, context.Canceled) {
		t.Errorf("SendAddressCode = %v, want %v", err, context.Canceled)
	}
}

func TestSenderThatIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*mail.Config)
	}{
		{"in clear to another machine", func(c *mail.Config) { c.InsecureNoTLS, c.Host = true, "smtp.example.fr" }},
		{"in clear to a machine that is called like this one", func(c *mail.Config) { c.InsecureNoTLS, c.Host = true, "localhost.example.fr" }},
		{"in clear with a password", func(c *mail.Config) { c.InsecureNoTLS, c.User = true, "authgw" }},
		{"a sender that ends its header", func(c *mail.Config) { c.From = "a@example.fr\r\nBcc: b@example.fr" }},
		{"no bound of time", func(c *mail.Config) { c.Timeout = 0 }},
		{"no server", func(c *mail.Config) { c.Host = "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newWorld(t, mailtest.Config{}, "127.0.0.1").config
			tt.change(&c)
			if s, err := mail.New(c); s != nil || err == nil {
				t.Errorf("New = %v, %v, want an error", s, err)
			}
		})
	}
}
