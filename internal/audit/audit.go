// Package audit records who did what: a typed event for each thing that a security officer asks about later.
//
// An event has no field for a secret, a PIN or a token, so none can be recorded. Persons are named by their opaque subject. Events
// go out as JSON lines, one write each, in the order in which they were recorded; a Log is safe for concurrent use.
package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Kind is what happened.
type Kind string

// The kinds of events.
const (
	LoginSucceeded    Kind = "login_succeeded"
	LoginRefused      Kind = "login_refused"
	SessionOpened     Kind = "session_opened"
	SessionEnded      Kind = "session_ended"
	ServiceEntered    Kind = "service_entered"
	CRLLoaded         Kind = "crl_loaded"
	ConfigLoaded      Kind = "config_loaded"
	RevocationSkipped Kind = "revocation_skipped"
)

// Event is one record.
type Event struct {
	Time        time.Time `json:"time"`
	Kind        Kind      `json:"kind"`
	Outcome     string    `json:"outcome,omitempty"` // success, refused
	Reason      string    `json:"reason,omitempty"`  // of a refusal or an end, a word
	Subject     string    `json:"subject,omitempty"`
	Session     string    `json:"session,omitempty"` // its id, which opens nothing
	Method      string    `json:"method,omitempty"`
	ACR         string    `json:"acr,omitempty"`
	Source      string    `json:"source,omitempty"`      // network address
	Fingerprint string    `json:"fingerprint,omitempty"` // SHA-256 of the certificate
	Issuer      string    `json:"issuer,omitempty"`      // of the certificate
	Service     string    `json:"service,omitempty"`
	Support     string    `json:"support,omitempty"` // the code that the person reads on the page
	Detail      string    `json:"detail,omitempty"`
}

// Log writes events.
type Log struct {
	mu   sync.Mutex
	w    io.Writer
	now  func() time.Time
	torn bool // the last write ended within a line
}

// New returns a log that writes to w. now is the clock.
func New(w io.Writer, now func() time.Time) *Log {
	return &Log{w: w, now: now}
}

// Record writes an event, with the time of the call. An error means that it was not written: who asks for a login then refuses it.
func (l *Log) Record(e Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Time = l.now().UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write audit event: %w", err)
	}
	line = append(line, '\n')
	if l.torn { // a full disk, say: what was cut off must not take this event with it
		line = append([]byte{'\n'}, line...)
	}
	n, err := l.w.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	if n > 0 {
		l.torn = n < len(line)
	}
	if err != nil {
		return fmt.Errorf("write audit event: %w", err)
	}
	return nil
}
