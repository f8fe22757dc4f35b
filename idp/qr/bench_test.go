package qr_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"promess/authgw/internal/idptest"
)

// BenchmarkWaiting has 10,000 workstations wait for their phones, and says what each costs while nothing happens: the handlers beside their
// requests, and then a few hundred through TLS connections, with the clients, which are in this process too. The database is closed before the next
// images are due: that all get them shows that none is asked of it.
func BenchmarkWaiting(b *testing.B) {
	b.Run("handlers", func(b *testing.B) {
		const waiting = 10_000
		for b.Loop() {
			w := newWorld(b)
			streams, requests := make([]*page, waiting), make([]*http.Request, waiting)
			for i := range streams {
				streams[i], requests[i] = &page{header: http.Header{}}, w.beginAt(b, fmt.Sprintf("10.0.%d.%d:4000", i/256, i%256))
			}
			var all sync.WaitGroup
			before := memory()
			for i := range streams {
				all.Go(func() { w.Handler.ServeHTTP(streams[i], requests[i]) }) // ends with Stop
			}
			until(b, "all wait", func() bool { return told(streams, 1) == waiting })
			b.ReportMetric(float64(memory()-before)/waiting, "B/waiting")
			b.ReportMetric(float64(memory()-before)/1e6, "MB")

			if err := w.Store.Close(); err != nil {
				b.Fatal(err)
			}
			w.Advance(20 * time.Second)
			cpu := time.Now()
			until(b, "all have the next image", func() bool { return told(streams, 2) == waiting })
			b.ReportMetric(time.Since(cpu).Seconds(), "s/images")
			w.method.Stop()
			all.Wait()
		}
	})
	b.Run("through TLS, clients included", func(b *testing.B) {
		const waiting = 400
		for b.Loop() {
			w := newWorld(b)
			browsers := make([]*idptest.Browser, waiting)
			for i := range browsers {
				browsers[i] = w.Browser(b, fmt.Sprintf("127.0.1.%d", 1+i%200))
				begin(b, browsers[i])
			}
			before := memory()
			var open []*http.Response
			for _, browser := range browsers {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, idptest.Origin+"/login/qr/events", nil)
				if err != nil {
					b.Fatal(err)
				}
				answer, err := browser.Client.Do(r)
				if err != nil || answer.StatusCode != http.StatusOK {
					b.Fatalf("events: %v", err)
				}
				open = append(open, answer)
			}
			b.ReportMetric(float64(memory()-before)/waiting, "B/waiting")
			w.method.Stop()
			for _, answer := range open {
				answer.Body.Close()
			}
		}
	})
}

// beginAt begins a login at an address and returns the request that follows it.
func (w *world) beginAt(b *testing.B, at string) *http.Request {
	b.Helper()
	r, got := httptest.NewRequest(http.MethodPost, idptest.Origin+"/login/qr", nil), httptest.NewRecorder()
	r.RemoteAddr = at
	w.Handler.ServeHTTP(got, r)
	if got.Code != http.StatusSeeOther {
		b.Fatalf("begin = %d", got.Code)
	}
	follow := httptest.NewRequest(http.MethodGet, idptest.Origin+"/login/qr/events", nil)
	follow.RemoteAddr = at
	for _, c := range got.Result().Cookies() {
		follow.AddCookie(c)
	}
	return follow
}

// page takes the events of one workstation, and keeps their number.
type page struct {
	header http.Header
	events atomic.Int32
}

func (p *page) Header() http.Header { return p.header }
func (p *page) WriteHeader(int)     {}
func (p *page) Flush()              {}
func (p *page) Write(data []byte) (int, error) {
	if bytes.HasPrefix(data, []byte("event: ")) {
		p.events.Add(1)
	}
	return len(data), nil
}

// told is how many of some pages had at least n events.
func told(pages []*page, n int32) int {
	all := 0
	for _, p := range pages {
		if p.events.Load() >= n {
			all++
		}
	}
	return all
}

// memory is what is in use now, of heap and stacks.
func memory() int64 {
	runtime.GC()
	for range 4 { // what finalizers and pools have let go; and at each, stacks that are hardly used shrink by half
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

func until(b *testing.B, what string, is func() bool) {
	b.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !is(); {
		if time.Now().After(deadline) {
			b.Fatal("not in five minutes: " + what)
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}
