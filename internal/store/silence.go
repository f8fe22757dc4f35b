package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// defaultPatience is longer than a statement waits for a lock, whose refusal is the server's to tell.
const defaultPatience = 15 * time.Second

// respite is how long nobody else tries a server that has just let somebody wait in vain: the many who queue for a connection would
// otherwise wait one after the other.
const respite = time.Second

var errSilent = errors.New("the server has just left a connection without an answer")

// silence notices a server that is there and says nothing: one that is stopped, or behind a network that drops everything. The limits
// that the server holds us to are no help then, and its kernel may go on to acknowledge what we send. So each wait for a byte is bounded
// here, whatever the context of a statement says. It is safe for concurrent use.
type silence struct {
	patience time.Duration
	lost     atomic.Int64 // when somebody last waited in vain, Unix nanoseconds
	refused  atomic.Int64 // the same, for a new connection
}

// dial makes connections of a dialer that bound each wait.
func (s *silence) dial(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &patient{Conn: c, silence: s}, nil
	}
}

// connector connects as config says, unless that was in vain a moment ago.
func (s *silence) connector(config *pgx.ConnConfig) driver.Connector {
	return connector{silence: s, Connector: stdlib.GetConnector(*config, stdlib.OptionAfterConnect(s.made), stdlib.OptionResetSession(s.look))}
}

type connector struct {
	driver.Connector
	silence *silence
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	if time.Now().UnixNano()-c.silence.refused.Load() < respite.Nanoseconds() {
		return nil, errSilent
	}
	conn, err := c.Connector.Connect(ctx)
	if err != nil && ctx.Err() == nil && (pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded)) {
		now := time.Now().UnixNano()
		c.silence.refused.Store(now)
		c.silence.lost.Store(now)
	}
	return conn, err
}

// madeKey is where a connection keeps when it was made.
const madeKey = "authgw made"

func (s *silence) made(_ context.Context, c *pgx.Conn) error {
	c.PgConn().CustomData()[madeKey] = time.Now().UnixNano()
	return nil
}

// look drops a connection that was made before the server was last silent: the next one to use it would wait in vain too.
func (s *silence) look(_ context.Context, c *pgx.Conn) error {
	if made, ok := c.PgConn().CustomData()[madeKey].(int64); ok && made > s.lost.Load() {
		return nil
	}
	c.PgConn().Conn().Close() // at once: the driver would say good-bye and wait for the answer
	return driver.ErrBadConn
}

// patient is a connection that waits for the other side for so long and no longer. The deadlines that the driver sets, for a context,
// hold when they come sooner. The driver reads only for an answer that is due.
type patient struct {
	net.Conn
	silence *silence

	mu          sync.Mutex
	read, write time.Time // as the driver has set them; zero: never
}

// sooner is when a wait that begins now ends.
func (p *patient) sooner(given time.Time) time.Time {
	at := time.Now().Add(p.silence.patience)
	if !given.IsZero() && given.Before(at) {
		return given
	}
	return at
}

func (p *patient) Read(b []byte) (int, error) {
	p.mu.Lock()
	err := p.Conn.SetReadDeadline(p.sooner(p.read))
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) && p.ours() {
		p.silence.lost.Store(time.Now().UnixNano())
	}
	return n, err
}

// ours says whether a wait that has just ended was not ended by the driver.
func (p *patient) ours() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read.IsZero() || time.Now().Before(p.read)
}

func (p *patient) Write(b []byte) (int, error) {
	p.mu.Lock()
	err := p.Conn.SetWriteDeadline(p.sooner(p.write))
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

func (p *patient) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.SetWriteDeadline(t))
}

func (p *patient) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read = t
	return p.Conn.SetReadDeadline(p.sooner(t))
}

func (p *patient) SetWriteDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write = t
	return p.Conn.SetWriteDeadline(p.sooner(t))
}
