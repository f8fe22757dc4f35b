package password_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/password"
)

// node is what a session costs the garbage collector.
type node struct {
	next *node
	a, b string
}

// BenchmarkRequestBesideFlood is a request that somebody makes who is signed in, alone, and while more log in than there are places for.
func BenchmarkRequestBesideFlood(b *testing.B) {
	var sessions []*node // of 100,000 sessions
	for range 100_000 {
		n := &node{next: &node{}, a: string(make([]byte, 100)), b: string(make([]byte, 100))}
		sessions = append(sessions, n)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1000)) }))
	defer server.Close()
	measure := func(b *testing.B) {
		var took []time.Duration
		for b.Loop() {
			began := time.Now()
			resp, err := server.Client().Get(server.URL)
			if err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
	}
	b.Run("quiet", measure)
	b.Run("flood", func(b *testing.B) {
		h := hasher(b, password.Default)
		var all sync.WaitGroup
		stop := make(chan struct{})
		for range 8 {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						h.Verify(b.Context(), "", secret)
					}
				}
			})
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		measure(b)
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.NumGC-before.NumGC)/time.Since(began).Seconds(), "gc/s")
		b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/(19<<20)/time.Since(began).Seconds(), "hashes/s")
		b.ReportMetric(float64(after.HeapSys>>20), "MiB")
		close(stop)
		all.Wait()
	})
	runtime.KeepAlive(sessions)
}
