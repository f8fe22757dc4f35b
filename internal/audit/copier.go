package audit

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// copyQueue events may wait to be copied; what comes then is lost.
	copyQueue = 4096
	// copyPatience is how long a login waits for its copy to leave. A terminal or a pipe that nobody reads must not stop logins.
	copyPatience = time.Second
	// closePatience is how long the end of the program waits for all of them.
	closePatience = 3 * time.Second
	// lossPeriod is how often a loss is logged while it lasts.
	lossPeriod = 10 * time.Second
)

// message is an event on its way out, with its line.
type message struct {
	event Event
	text  []byte
	sent  chan struct{} // not nil: no message, but a mark that is closed when all before it have left
}

// copier makes copies of what was kept, one after the other, without ever holding up who keeps it. copy, await and close are called by
// one goroutine.
type copier struct {
	name string
	log  *slog.Logger
	send func(message) error // called by one goroutine
	stop func()              // makes send return soon, with an error. Nil: nothing can, and logins wait a little for their copies
	free func()              // releases what send holds when it is not called any more; nil: nothing

	queue chan message
	ended chan struct{}
	late  bool // the last wait for it was in vain
	lost  counter

	mu   sync.Mutex
	said time.Time // when a loss was logged
	due  uint64    // how much of it was
}

// start makes c ready.
func (c *copier) start() *copier {
	c.queue, c.ended = make(chan message, copyQueue), make(chan struct{})
	go c.run() // until close
	return c
}

func (c *copier) run() {
	defer close(c.ended)
	if c.free != nil {
		defer c.free()
	}
	for m := range c.queue {
		if m.sent != nil {
			close(m.sent)
			continue
		}
		if err := c.send(m); err != nil {
			c.lose(err)
		}
	}
}

// copy puts messages into the queue. What finds no place is lost, and counted.
func (c *copier) copy(all []message) {
	for _, m := range all {
		select {
		case c.queue <- m:
		default:
			c.lose(errors.New("too many wait"))
		}
	}
}

// await waits a little until what was given to copy has left, so that a line is there when a page is. It does not when the line before
// was late already.
func (c *copier) await() {
	if c.stop != nil || c.late && len(c.queue) > 0 {
		return
	}
	m := message{sent: make(chan struct{})}
	timer := time.NewTimer(copyPatience)
	defer timer.Stop()
	c.late = true
	select {
	case c.queue <- m:
	case <-timer.C:
		return
	}
	select {
	case <-m.sent:
		c.late = false
	case <-timer.C:
	}
}

// close lets what waits leave, for a bounded time.
func (c *copier) close() {
	close(c.queue)
	if !within(closePatience, c.ended) && c.stop != nil {
		c.stop()
		within(closePatience, c.ended)
	}
	if n := uint64(len(c.queue)); n > 0 {
		c.lost.Add(n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.lost.Load(); n > c.due {
		c.log.Error("copies of audit events lost", "output", c.name, "lost_since_start", n)
	}
}

// within waits until done is closed and says whether it was in time.
func within(patience time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// lose counts a copy that was not made, and logs it, now and then.
func (c *copier) lose(err error) {
	n := c.lost.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.said) >= lossPeriod {
		c.said, c.due = now, n
		c.log.Error("copies of audit events lost", "output", c.name, "error", err, "lost_since_start", n)
	}
}
