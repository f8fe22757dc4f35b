package pkcs11

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Config says which module to run and how long to wait for it.
type Config struct {
	// Module is the absolute path of the PKCS#11 module: a relative one would be looked up in places that others may write to.
	Module string
	// Command is the argv of the child: this program and its hidden command. Start appends Module; the command calls Serve.
	Command []string

	CallTimeout time.Duration // of one call to the module; 15 s by default
	PadTimeout  time.Duration // of a login on a PIN pad; 60 s by default

	// NoReset leaves the card as it is at Close: every program of the workstation can then use its key without a PIN.
	NoReset bool

	// Accept chooses the certificates that Tokens lists; AuthenticationCertificate by default.
	Accept func(*x509.Certificate) bool

	Logger *slog.Logger // nothing is logged when nil
}

func (c Config) withDefaults() Config {
	if c.CallTimeout <= 0 {
		c.CallTimeout = 15 * time.Second
	}
	if c.PadTimeout <= 0 {
		c.PadTimeout = time.Minute
	}
	if c.Accept == nil {
		c.Accept = AuthenticationCertificate
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = c.Logger.With("component", "pkcs11")
	return c
}

// Module is a PKCS#11 module in its child process, for one use of the cards. Once a call was ended by force (ErrStalled,
// ErrTokenRemoved, ErrCrashed, the end of a context) all later calls fail the same way; a new Start begins afresh.
type Module struct {
	config Config
	child  *child
	turn   chan struct{} // holds one value while nobody talks to the child
	closed chan struct{}

	mu      sync.Mutex
	ended   error // why the child was killed
	watched *watched
	usedIn  map[string]bool // readers whose card was given a PIN
	usedAny bool            // a card was given a PIN in a reader that PC/SC does not know by the module's name

	closing  sync.Once
	closeErr error
}

// Start runs the child and loads the module. A module that cannot be loaded fails with ErrModuleLoad and the reason.
// ctx bounds the start only.
func Start(ctx context.Context, c Config) (*Module, error) {
	c = c.withDefaults()
	if err := checkModule(c.Module); err != nil {
		return nil, err
	}
	if len(c.Command) == 0 {
		return nil, errors.New("start the PKCS#11 module: no command")
	}
	child, err := startChild(append(append([]string{}, c.Command...), c.Module))
	if err != nil {
		return nil, fmt.Errorf("start the PKCS#11 module: %w", err)
	}
	m := &Module{
		config: c, child: child, turn: make(chan struct{}, 1), closed: make(chan struct{}), usedIn: map[string]bool{},
	}
	first, err := m.await(ctx, c.CallTimeout, nil)
	if err == nil && first.Load != "" {
		err = fmt.Errorf("%w: %s: %s", ErrModuleLoad, c.Module, first.Load)
	}
	if err == nil {
		err = first.err()
	}
	if err != nil {
		m.child.end(0)
		return nil, fmt.Errorf("start the PKCS#11 module: %w", err)
	}
	m.turn <- struct{}{}
	c.Logger.Debug("module loaded", "pid", child.pid())
	return m, nil
}

func checkModule(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%w: %q is not an absolute path", ErrModuleLoad, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrModuleLoad, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a file", ErrModuleLoad, path)
	}
	return nil
}

// call gives the child one request and waits for its answer. t, when not nil, is the token it is about: its removal ends the
// call, since a module may wait for ever for a card that is gone.
func (m *Module) call(ctx context.Context, timeout time.Duration, t *Token, r request) (answer, error) {
	select {
	case <-m.turn:
	case <-m.closed:
		return answer{}, ErrClosed
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	}
	defer func() { m.turn <- struct{}{} }()
	if err := m.endedBy(); err != nil {
		return answer{}, err
	}
	if err := m.child.send(r); err != nil {
		return answer{}, m.kill(fmt.Errorf("%w: %w", ErrCrashed, err))
	}
	a, err := m.await(ctx, timeout, t)
	if err == nil {
		err = a.err()
	}
	return a, m.blameRemoval(t, err)
}

// await waits for the child's next answer; it kills the child when there will be none.
func (m *Module) await(ctx context.Context, timeout time.Duration, t *Token) (answer, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case a, ok := <-m.child.answers:
		if !ok {
			return answer{}, m.kill(m.child.death())
		}
		return a, nil
	case <-t.removed():
		return answer{}, m.kill(ErrTokenRemoved)
	case <-timer.C:
		return answer{}, m.kill(ErrStalled)
	case <-ctx.Done():
		return answer{}, m.kill(context.Cause(ctx))
	case <-m.closed:
		return answer{}, ErrClosed
	}
}

// removalGrace is how long PC/SC may need to see that a card is gone after a module has failed because of it: the
// daemon of pcsc-lite looks every 400 ms where a reader cannot tell by itself, and a workstation may be busy.
const removalGrace = time.Second

// blameRemoval finds out whether an error without a clear cause came from the card's removal.
func (m *Module) blameRemoval(t *Token, err error) error {
	var e *Error
	unclear := errors.As(err, &e) && sentinel(e.Code) == nil || errors.Is(err, ErrKeyNotFound) ||
		errors.Is(err, ErrNotLoggedIn) || errors.Is(err, ErrCrashed)
	if !unclear || t.removed() == nil {
		return err
	}
	timer := time.NewTimer(removalGrace)
	defer timer.Stop()
	select {
	case <-t.removed():
		return fmt.Errorf("%w: %w", ErrTokenRemoved, err)
	case <-timer.C:
		return err
	case <-m.closed:
		return err
	}
}

// kill ends the child at once and remembers why; the first reason stays.
func (m *Module) kill(why error) error {
	m.mu.Lock()
	if m.ended == nil {
		m.ended = why
	}
	m.mu.Unlock()
	m.config.Logger.Debug("module killed", "pid", m.child.pid(), "reason", why.Error())
	m.child.end(0)
	return why
}

// endedBy says why there will be no answers any more, or nil.
func (m *Module) endedBy() error {
	select {
	case <-m.closed:
		return ErrClosed
	default:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended
}

// used notes that t is about to be given a PIN, so that Close resets its card, whatever becomes of the call.
func (m *Module) used(t *Token) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case t.seat != nil:
		m.usedIn[t.seat.reader] = true
	case t.removable:
		m.usedAny = true
	}
}

// Times that Close grants.
const (
	logoutTimeout = 300 * time.Millisecond
	exitTimeout   = 200 * time.Millisecond
	resetTimeout  = 3 * time.Second
)

// Close logs out, ends the child, and resets the cards that were given a PIN, unless Config.NoReset. It may be called during
// a call, which then fails with ErrClosed, and more than once. An error means that a card may still be open to other programs.
func (m *Module) Close() error {
	m.closing.Do(func() {
		select {
		case <-m.turn: // nobody is in a call
			if m.endedBy() == nil && m.child.send(request{Op: opLogout}) == nil {
				// Good manners only: the reset is what closes the card.
				_, _ = m.await(context.Background(), logoutTimeout, nil)
			}
		default:
		}
		close(m.closed)
		m.child.end(exitTimeout)
		m.setWatched(nil)
		m.closeErr = m.resetUsed()
	})
	return m.closeErr
}

func (m *Module) resetUsed() error {
	if m.config.NoReset {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), resetTimeout)
	defer cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	if m.usedAny {
		// Which reader it was is not known: a card reset for nothing is the smaller harm.
		readers, err := Readers(ctx)
		errs = append(errs, err)
		for _, r := range readers {
			if r.Present {
				m.usedIn[r.Name] = true
			}
		}
	}
	for reader := range m.usedIn {
		errs = append(errs, Reset(ctx, reader))
	}
	return errors.Join(errs...)
}

// err is the error that an answer carries.
func (a answer) err() error {
	switch {
	case a.Failed != "":
		return &Error{Op: a.Failed, Code: a.Code}
	case a.NoKey:
		return ErrKeyNotFound
	case a.BadCall != "":
		return errors.New(a.BadCall)
	}
	return nil
}

var _ io.Closer = (*Module)(nil)
