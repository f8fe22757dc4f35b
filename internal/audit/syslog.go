package audit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Syslog says where copies go.
type Syslog struct {
	// URL is unix:///dev/log, udp://host:514, tcp://host:601 or tls://host:6514.
	URL   *url.URL
	Roots *x509.CertPool // authorities of a tls server; nil: those of the system
}

const (
	// RFC 5424, section 6.2.1: facility 10, security messages; severity 5, a normal but significant condition, or 4, a warning.
	priNotice  = 10*8 + 5
	priWarning = 10*8 + 4

	syslogTimeout = 5 * time.Second // to connect, and to write a message
	syslogPause   = 250 * time.Millisecond
	syslogPauses  = 30 * time.Second // the longest, after many failures
)

// format writes an event as RFC 5424, section 6, has it. The message is the JSON line; there is no structured data.
func format(m message, host string, pid int) []byte {
	pri := priNotice
	if m.event.Outcome == "refused" {
		pri = priWarning
	}
	// TIMESTAMP has at most six digits of a second (section 6.2.3), and MSGID at most 32 characters (section 6.2.7).
	at := m.event.Time.UTC().Format("2006-01-02T15:04:05.000000Z")
	line := fmt.Appendf(nil, "<%d>1 %s %s authgw %d %s - ", pri, at, printable(host, 255), pid, printable(string(m.event.Kind), 32))
	return append(line, m.text...)
}

// printable returns text as a field of the header: PRINTUSASCII of bounded length, or the NILVALUE.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return -1
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(len(text), limit)]
}

// sender sends messages over one connection, which it makes anew when it breaks. It is used by one goroutine.
type sender struct {
	Syslog
	log    *slog.Logger
	host   string
	ctx    context.Context // of the sender's life: a copier has no calls that would bring one
	conn   net.Conn
	broken bool // was said
}

func newSyslogCopier(s *Syslog, log *slog.Logger) *copier {
	host, err := os.Hostname()
	if err != nil {
		host = "" // the NILVALUE: section 6.2.4 allows for it
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &sender{Syslog: *s, log: log, host: host, ctx: ctx}
	return (&copier{name: "syslog", log: log, send: w.send, stop: cancel, free: w.close}).start()
}

func (s *sender) close() {
	if s.conn != nil {
		s.conn.Close()
	}
}

// send sends one message, again and again until it could be written. Meanwhile others wait in the queue, which is what is lost when it
// lasts. A message that UDP cannot carry is given up.
func (s *sender) send(m message) error {
	text := format(m, s.host, os.Getpid())
	if s.stream() {
		text = append(append(strconv.AppendInt(nil, int64(len(text)), 10), ' '), text...) // RFC 6587, section 3.4.1: octet counting
	}
	for pause := syslogPause; ; pause = min(2*pause, syslogPauses) {
		err := s.try(text)
		if err == nil {
			if s.broken {
				s.log.Info("syslog reached again", "syslog", s.URL.String())
			}
			s.broken = false
			return nil
		}
		if !s.broken {
			s.log.Error("syslog not reached; audit events wait, and are lost when there are too many", "syslog", s.URL.String(), "error", err)
		}
		s.broken = true
		if tooLong(err) {
			return err
		}
		select {
		case <-s.ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (s *sender) stream() bool { return s.URL.Scheme == "tcp" || s.URL.Scheme == "tls" }

// try writes text to the connection, or to a new one.
func (s *sender) try(text []byte) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if s.conn == nil {
		conn, err := s.dial()
		if err != nil {
			return err
		}
		s.conn = conn
	}
	s.conn.SetWriteDeadline(time.Now().Add(syslogTimeout))
	n, err := s.conn.Write(text)
	if err == nil && n < len(text) {
		err = errors.New("short write")
	}
	if err != nil {
		s.conn.Close() // within a message: what follows on this connection would be read as the rest of it
		s.conn = nil
	}
	return err
}

func (s *sender) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, syslogTimeout)
	defer cancel()
	d := &net.Dialer{}
	switch s.URL.Scheme {
	case "unix":
		return d.DialContext(ctx, "unixgram", s.URL.Path)
	case "udp":
		return d.DialContext(ctx, "udp", s.URL.Host)
	}
	var conn net.Conn
	var err error
	if s.URL.Scheme == "tls" {
		conn, err = (&tls.Dialer{NetDialer: d, Config: &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", s.URL.Host)
	} else {
		conn, err = d.DialContext(ctx, "tcp", s.URL.Host)
	}
	if err != nil {
		return nil, err
	}
	go hangUp(conn) // until the connection is closed
	return conn, nil
}

// hangUp closes a connection that the server has closed. A syslog server says nothing (RFC 6587, section 3.1), so nobody reads, and TCP
// would take one more message, which nobody gets, before it says so.
func hangUp(conn net.Conn) {
	conn.Read(make([]byte, 1))
	conn.Close()
}

// tooLong says whether a datagram was too long for its network: that message will never go.
func tooLong(err error) bool { return errors.Is(err, syscall.EMSGSIZE) }
