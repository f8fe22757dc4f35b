package qr

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"promess/authgw/internal/qrcode"
	"promess/authgw/internal/store"
)

const (
	heartbeat  = 15 * time.Second // so that nothing between takes the connection for dead
	writeLimit = 10 * time.Second // for each event
	perLogin   = 4                // streams of one login: a page that is loaded anew leaves one behind for a moment
	allStreams = 20_000           // who comes after asks every few seconds instead
)

// imageField is in the address of a stream: the slot of the image that the page was drawn with, which need not be the newest any more, be it that
// the page took its time or that the browser opens the stream again.
const imageField = "image"

// finder finds what a request follows.
type finder func(*http.Request) (store.Login, error)

// enter counts a stream, and says no when there are too many.
func (m *Method) enter(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open >= allStreams || m.streams[id] >= perLogin {
		return false
	}
	m.open++
	m.streams[id]++
	return true
}

func (m *Method) leave(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
	if m.streams[id]--; m.streams[id] == 0 {
		delete(m.streams, id)
	}
}

// follow tells of the steps of a login as they happen, and of its images (HTML, section 9.2, server-sent events), until it has ended. While
// it waits it asks the database nothing.
func (m *Method) follow(find finder) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var l store.Login
		var err error
		aside(func() { l, err = find(r.WithContext(r.Context())) }) // a copy: what is found for it is not kept while this one waits
		l.Progress, l.Outcome = nil, nil                            // nor is this
		switch {
		case errors.Is(err, store.ErrNotFound):
			w.WriteHeader(http.StatusNoContent) // a browser comes back for no more: HTML, section 9.2.3
			return
		case err != nil:
			m.Log.Error("login not found", "error", err)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case !m.enter(l.ID()):
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		defer m.leave(l.ID())
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Accel-Buffering", "no") // of a proxy in front that would keep events back
		s := &stream{m: m, w: w, r: r, control: http.NewResponseController(w), image: slot(m.Now())}
		if drawn, err := strconv.ParseInt(r.URL.Query().Get(imageField), 10, 64); err == nil {
			s.image = drawn
		}
		// The deadlines of the server are for answers that end; these are for each event.
		_ = s.control.SetReadDeadline(time.Time{}) // not supported: the server's own holds, and the browser opens another stream
		s.run(l)
	}
}

// stream is the events of one browser.
type stream struct {
	m       *Method
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	told    string // step
	image   int64  // slot of the image that the page has
}

// run writes until there is nothing more to tell, the browser leaves, or the server stops.
func (s *stream) run(l store.Login) {
	changed, release := s.m.Server.Sessions.Await(l.ID())
	defer release()
	timer := time.NewTimer(0) // looks at once: it may have changed before Await
	defer timer.Stop()
	look := true
	for {
		select {
		case <-s.r.Context().Done():
			return
		case <-s.m.stopping:
			return
		case <-changed:
			look = true
		case <-timer.C:
		}
		if look {
			look = false
			var more bool
			aside(func() { more = s.look(l) })
			if !more {
				return
			}
		}
		now := s.m.Now()
		if !now.Before(l.Expires) {
			s.write("step", stepOver)
			return
		}
		var alive bool
		aside(func() { alive = s.beat(l, now) })
		if !alive {
			return
		}
		next := min(heartbeat, l.Expires.Sub(now))
		if s.drawn(l) {
			next = min(next, nextSlot(now).Sub(now))
		}
		timer.Reset(max(next, time.Millisecond))
	}
}

// aside calls f on another goroutine and waits for it. The database and the drawing need a large stack for a moment, and a goroutine that
// waits for two minutes would keep it. A panic of f is the caller's.
func aside(f func()) {
	done := make(chan any, 1)
	go func() { // ends with f
		defer func() { done <- recover() }()
		f()
	}()
	if v := <-done; v != nil {
		panic(v)
	}
}

// look finds out how far the login is, tells it, and says whether others can follow. When the database does not answer it says no: the
// browser opens another stream.
func (s *stream) look(l store.Login) bool {
	found, err := s.m.Store.LoginByHandle(s.r.Context(), l.Handle, l.Method, s.m.Now())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false
	}
	return s.step(found, err == nil)
}

// step tells a new step, and says whether others can follow.
func (s *stream) step(l store.Login, found bool) bool {
	step := stepOver
	if found {
		a, err := read(l)
		if err != nil {
			return false
		}
		step = a.told()
	}
	if step == s.told {
		return true
	}
	s.told = step
	return s.write("step", step) && step != stepOver && step != stepEnded && step != stepApproved && step != stepDone
}

// drawn says whether the page shows images that change.
func (s *stream) drawn(l store.Login) bool { return l.Method == Name && s.told == stepShown }

// beat tells the next image when it is time, or else that the connection is there.
func (s *stream) beat(l store.Login, now time.Time) bool {
	if at := slot(now); s.drawn(l) && at != s.image {
		s.image = at
		svg, err := qrcode.SVG(s.m.address(loginCode(s.m.Keys, l.Handle, now)))
		return err == nil && s.write("code", string(svg))
	}
	return s.write("", "")
}

// write sends an event, or a comment without one.
func (s *stream) write(event, data string) bool {
	_ = s.control.SetWriteDeadline(time.Now().Add(writeLimit)) // not supported: the server's own holds
	text := ":\n\n"
	if event != "" {
		text = fmt.Sprintf("event: %s\ndata: %s\n\n", event, data) // none of the data has a line break
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return false
	}
	return s.control.Flush() == nil
}

// status tells the same to a page that asks.
func (m *Method) status(find finder) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		told := struct {
			Step string `json:"step"`
			Code string `json:"code,omitempty"` // the image
		}{Step: stepOver}
		l, err := find(r)
		if err == nil {
			var a attempt
			if a, err = read(l); err == nil {
				told.Step = a.told()
			}
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			m.fault(w, "find login", err)
			return
		}
		if told.Step == stepShown && l.Method == Name {
			svg, err := qrcode.SVG(m.address(loginCode(m.Keys, l.Handle, m.Now())))
			if err != nil {
				m.fault(w, "draw code", err)
				return
			}
			told.Code = string(svg)
		}
		answer(w, told)
	}
}
