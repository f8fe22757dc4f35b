package demo

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"promess/authgw/internal/postbox"
)

// post is the ordinary mailbox of the demonstration's persons: a mail server that delivers nothing, and a page that shows what it was given.
type post struct {
	smtp, web net.Listener
	out       io.Writer
	page      *template.Template

	mu  sync.Mutex
	all []letter // the newest first
}

// letter is a message as the page shows it.
type letter struct {
	Time              time.Time
	To, Subject, Text string
}

const lettersKept = 50

func newPost(ctx context.Context, out io.Writer) (*post, error) {
	p := &post{out: out, page: template.Must(template.ParseFS(pages, "pages/post.html"))}
	var err error
	if p.smtp, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if p.web, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		p.smtp.Close()
		return nil, err
	}
	return p, nil
}

func (p *post) address() string { return "http://" + p.web.Addr().String() + "/" }

func (p *post) close() {
	p.smtp.Close()
	p.web.Close()
}

// receive takes messages until ctx ends.
func (p *post) receive(ctx context.Context) error {
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{post: p}, nil }))
	srv.Domain = "localhost"
	srv.ReadTimeout, srv.WriteTimeout = time.Minute, time.Minute
	srv.MaxMessageBytes, srv.MaxRecipients = 1<<20, 1
	stop := context.AfterFunc(ctx, func() {
		p.smtp.Close() // the server knows its listener only once it has begun
		srv.Close()
	})
	defer stop()
	if err := srv.Serve(p.smtp); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// delivery is one connection of a sender.
type delivery struct {
	post *post
	to   string
}

func (d *delivery) Mail(string, *smtp.MailOptions) error { return nil }
func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = to
	return nil
}
func (d *delivery) Reset()        {}
func (d *delivery) Logout() error { return nil }

func (d *delivery) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := postbox.Parse(raw)
	if err != nil {
		return errors.New("a message with a text and an HTML part expected")
	}
	d.post.keep(letter{Time: time.Now(), To: d.to, Subject: m.Subject, Text: strings.ReplaceAll(m.Text, "\r\n", "\n")})
	return nil
}

// keep shows a message in the terminal too.
func (p *post) keep(l letter) {
	var b strings.Builder
	fmt.Fprintf(&b, "mail  To %s: %s\n", l.To, l.Subject)
	for line := range strings.Lines(strings.TrimSpace(l.Text)) {
		fmt.Fprintf(&b, "mail  | %s\n", strings.TrimRight(line, "\n"))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = slices.Insert(p.all, 0, l)
	p.all = p.all[:min(len(p.all), lettersKept)]
	io.WriteString(p.out, b.String()) // a terminal that has gone: the page still has it
}

func (p *post) letters() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// ServeHTTP shows the messages, and looks for others by itself.
func (p *post) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	switch r.URL.Path {
	case "/style.css":
		h.Set("Content-Type", "text/css; charset=utf-8")
		http.ServeFileFS(w, r, pages, "pages/service.css")
	case "/":
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Refresh", "3")
		if err := p.page.Execute(w, p.letters()); err != nil {
			return // the browser has gone
		}
	default:
		http.NotFound(w, r)
	}
}
