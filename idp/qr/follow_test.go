package qr_test

import (
	"bufio"
	"context"
	"encoding/json"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/idptest"
)

// patience bounds what a test waits for.
const patience = 30 * time.Second

// events opens a stream of a browser and returns what is told, "event data", until the stream ends.
func events(t *testing.T, b *idptest.Browser, path string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return eventsUntil(ctx, t, b, path)
}

func eventsUntil(ctx context.Context, t *testing.T, b *idptest.Browser, path string) <-chan string {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, idptest.Origin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := b.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" || answer.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("events = %d %v", answer.StatusCode, answer.Header)
	}
	told := make(chan string, 100)
	go func() { // ends with the answer
		defer close(told)
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, 1<<20)
		event := ""
		for lines.Scan() {
			if e, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = e
			}
			if d, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				told <- event + " " + d
			}
		}
		if lines.Err() != nil {
			told <- "nothing more, but that it was broken off"
		}
	}()
	return told
}

// want waits for the next event.
func want(t *testing.T, told <-chan string, prefix string) string {
	t.Helper()
	select {
	case got, ok := <-told:
		if !ok || !strings.HasPrefix(got, prefix) {
			t.Fatalf("told %.60q, want %q", got, prefix)
		}
		return got
	case <-time.After(patience):
		t.Fatalf("nothing told, want %q", prefix)
		return ""
	}
}

func wantEnd(t *testing.T, told <-chan string) {
	t.Helper()
	select {
	case got, ok := <-told:
		if ok {
			t.Fatalf("told %.60q, want the end", got)
		}
	case <-time.After(patience):
		t.Fatal("the stream does not end")
	}
}

func TestWorkstationHearsOfEachStep(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t), w.Browser(t, workstation)
	begin(t, b)
	told := events(t, b, "/login/qr/events")
	want(t, told, "step shown")
	p.claim(code(t, b, "/login/qr"))
	want(t, told, "step claimed")
	asked, _ := p.pick(shownNumber(t, b))
	want(t, told, "step picked")
	p.approve(t, asked.Options)
	want(t, told, "step approved")
	wantEnd(t, told)
}

func TestWorkstationHearsOfTheEnd(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t), w.Browser(t, workstation)
	begin(t, b)
	told := events(t, b, "/login/qr/events")
	want(t, told, "step shown")
	p.claim(code(t, b, "/login/qr"))
	want(t, told, "step claimed")
	p.deny()
	want(t, told, "step ended")
	wantEnd(t, told)
}

// The image that is told is one that phones can use. It is at the turn of the real clock, so the world's is put a moment before one.
func TestWorkstationIsGivenNewImages(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, workstation)
	w.Advance(20*time.Second - 10*time.Millisecond)
	begin(t, b)
	told := events(t, b, "/login/qr/events")
	want(t, told, "step shown")
	w.Advance(time.Second)
	next := codeIn(t, want(t, told, "code <svg"))
	if got, status := w.phone(t).claim(next); status != http.StatusOK {
		t.Errorf("claim = %d %+v", status, got)
	}
}

// A page that begins to follow, or does so again after an interruption, when its image is no longer the newest is given that at once.
func TestWorkstationWithAnOldImageIsGivenTheNewest(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, workstation)
	begin(t, b)
	stream := regexp.MustCompile(`data-follow="([^"]*)"`).FindStringSubmatch(b.Get("/login/qr").Body)
	if stream == nil {
		t.Fatal("the page follows nothing")
	}
	w.Advance(40 * time.Second)
	told := events(t, b, html.UnescapeString(stream[1]))
	want(t, told, "step shown")
	if got, status := w.phone(t).claim(codeIn(t, want(t, told, "code <svg"))); status != http.StatusOK {
		t.Errorf("claim = %d %+v", status, got)
	}
}

// A workstation that waits asks the database nothing: here there is none any more, and it gets its next image all the same.
func TestWaitingAsksTheDatabaseNothing(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, workstation)
	w.Advance(20*time.Second - 10*time.Millisecond)
	begin(t, b)
	told := events(t, b, "/login/qr/events")
	want(t, told, "step shown")
	if err := w.Store.Close(); err != nil {
		t.Fatal(err)
	}
	w.Advance(time.Second)
	want(t, told, "code <svg")
}

func TestPhoneHearsThatTheWorkstationConfirmed(t *testing.T) {
	w := newWorld(t)
	b, shown := w.adding(t)
	p := w.phone(t)
	got, _ := p.claim(shown)
	told, here := events(t, p.Browser, "/phone/events"), events(t, b, "/account/phone/code/events")
	want(t, told, "step claimed")
	want(t, here, "step claimed")
	b.Post("/account/phone/confirm", "number", got.Number)
	want(t, told, "step confirmed")
	want(t, here, "step confirmed")
	p.add(t, "Mon téléphone")
	want(t, here, "step done")
	wantEnd(t, here)
}

// A workstation whose network keeps events back asks, and is given the images too, for as long as no phone has come.
func TestWorkstationAsksForNewImages(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, workstation)
	begin(t, b)
	asked := func() (told struct{ Step, Code string }) {
		t.Helper()
		if err := json.Unmarshal([]byte(b.Get("/login/qr/status").Body), &told); err != nil {
			t.Fatal(err)
		}
		return told
	}
	first := codeIn(t, asked().Code)
	w.Advance(40 * time.Second)
	next := codeIn(t, asked().Code)
	if got, status := w.phone(t).claim(first); status != http.StatusNotFound {
		t.Errorf("claim by the first = %d %+v", status, got)
	}
	if got, status := w.phone(t).claim(next); status != http.StatusOK {
		t.Errorf("claim by the next = %d %+v", status, got)
	}
	if got := asked(); got.Step != "claimed" || got.Code != "" {
		t.Errorf("then it is told %+v", got)
	}
}

// A phone whose network keeps events back asks, and learns the same.
func TestPhoneAsksWhatItDoesNotHear(t *testing.T) {
	w := newWorld(t)
	b, shown := w.adding(t)
	p, stranger := w.phone(t), w.phone(t)
	got, _ := p.claim(shown)
	wantStep := func(b *idptest.Browser, step string) {
		t.Helper()
		if got := b.Get("/phone/status"); got.Status != http.StatusOK || strings.TrimSpace(got.Body) != `{"step":"`+step+`"}` {
			t.Errorf("status = %d %s, want %s and nothing else", got.Status, got.Body, step)
		}
	}
	wantStep(p.Browser, "claimed")
	b.Post("/account/phone/confirm", "number", got.Number)
	wantStep(p.Browser, "confirmed")
	wantStep(stranger.Browser, "over")
	p.deny()
	wantStep(p.Browser, "ended")
}

// Who has no login to follow learns nothing; who opens too many streams asks now and then instead; a server that stops lets go.
func TestStreamsAreBounded(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, workstation)
	if got := b.Get("/login/qr/events"); got.Status != http.StatusNoContent {
		t.Errorf("without a login = %d, want 204, after which a browser asks no more", got.Status)
	}
	begin(t, b)
	var all []<-chan string
	for range 4 {
		told := events(t, b, "/login/qr/events")
		want(t, told, "step shown")
		all = append(all, told)
	}
	if got := b.Get("/login/qr/events"); got.Status != http.StatusServiceUnavailable {
		t.Errorf("the fifth stream = %d", got.Status)
	}
	if s := status(t, b); s != "shown" {
		t.Errorf("asked, the server says %q", s)
	}

	// Who leaves makes room.
	other := w.Browser(t, workstation)
	begin(t, other)
	for range 6 {
		ctx, leave := context.WithCancel(t.Context())
		want(t, eventsUntil(ctx, t, other, "/login/qr/events"), "step shown")
		leave()
		for deadline := time.Now().Add(patience); w.method.Streams() > len(all); {
			if time.Now().After(deadline) {
				t.Fatal("a stream that its browser has left stays")
			}
			time.Sleep(time.Millisecond)
		}
	}
	w.method.Stop()
	for _, told := range all {
		wantEnd(t, told)
	}
}
