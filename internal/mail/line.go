package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// line is the connection to the server for one message. Whatever the library waits for ends with the context.
type line struct {
	conn  net.Conn
	leave func() bool // undoes hangUpWith
}

// dial connects. The connection works until the deadline of ctx.
func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	until, ok := ctx.Deadline()
	if !ok { // unreachable: send sets one
		conn.Close()
		return nil, errors.New("no bound of time")
	}
	if err := conn.SetDeadline(until); err != nil {
		conn.Close()
		return nil, err
	}
	l.conn = conn
	return bounded{conn, until}, nil
}

// hangUpWith closes the connection when ctx ends: the library would go on to wait for the server's answer.
func (l *line) hangUpWith(ctx context.Context) {
	conn := l.conn
	l.leave = context.AfterFunc(ctx, func() { conn.Close() })
}

func (l *line) close() {
	if l.leave != nil {
		l.leave()
	}
	if l.conn != nil {
		l.conn.Close() // the library leaves it open when the greeting, TLS or the password fails
	}
}

// accepted says whether the server has taken the message, and only the goodbye failed.
func (l *line) accepted(m *mail.Msg) bool { return m.IsDelivered() }

// bounded is a connection whose deadline is never moved behind one.
type bounded struct {
	net.Conn
	until time.Time
}

func (b bounded) bound(t time.Time) time.Time {
	if t.IsZero() || t.After(b.until) {
		return b.until
	}
	return t
}

func (b bounded) SetDeadline(t time.Time) error      { return b.Conn.SetDeadline(b.bound(t)) }
func (b bounded) SetReadDeadline(t time.Time) error  { return b.Conn.SetReadDeadline(b.bound(t)) }
func (b bounded) SetWriteDeadline(t time.Time) error { return b.Conn.SetWriteDeadline(b.bound(t)) }

// ErrRefused says that the server refuses the recipient or the message for ever: there is no use in trying again.
var ErrRefused = errors.New("refused for ever")

// refusal is the server's answer to a step of a message.
type refusal struct {
	step mail.SendErrReason
	code int
}

func (r refusal) Error() string {
	return fmt.Sprintf("refused at %q with code %d", r.step.String(), r.code)
}

// Is makes some refusals ErrRefused (RFC 5321, section 4.2.1: 5yz). What is answered before the recipient is named is about this gateway's
// configuration, which an operator corrects.
func (r refusal) Is(target error) bool {
	ofMessage := r.step == mail.ErrSMTPRcptTo || r.step == mail.ErrSMTPData || r.step == mail.ErrSMTPDataClose
	return target == ErrRefused && ofMessage && r.code >= 500 && r.code <= 599
}

// explain says what failed in words of our own: those of servers and of the library repeat addresses.
func explain(ctx context.Context, err error, l *line) error {
	var certificate *tls.CertificateVerificationError
	var sending *mail.SendError
	var answer *textproto.Error
	var timeout net.Error
	var plain tls.RecordHeaderError
	var alert *net.OpError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("it did not answer in time")
	case l.conn == nil:
		return errors.New("no connection")
	case errors.As(err, &certificate):
		return fmt.Errorf("its certificate is not accepted: %w", certificate)
	case errors.As(err, &plain):
		return errors.New("it does not speak TLS from the first byte, as a port for STARTTLS")
	case errors.As(err, &alert) && alert.Op == "remote error": // crypto/tls has no other name for one of TLS
		return fmt.Errorf("it does not take TLS 1.2 or newer: %w", alert.Err)
	case errors.As(err, &sending):
		return refusal{sending.Reason, sending.ErrorCode()}
	case errors.As(err, &answer):
		return fmt.Errorf("greeting, user or password refused with code %d", answer.Code)
	case strings.Contains(err.Error(), "STARTTLS"): // the library has no error of its own for it
		return errors.New("it does not offer STARTTLS")
	}
	return errors.New("the connection ended before the message")
}
