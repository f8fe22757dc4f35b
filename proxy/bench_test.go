package proxy_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"
)

// BenchmarkForward is a page of 1 KiB through the gateway: TLS from the client, HTTP to the service, all connections kept.
func BenchmarkForward(b *testing.B) {
	page := bytes.Repeat([]byte("a"), 1<<10)
	url := serve(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	for _, proto := range protocols {
		b.Run(proto, func(b *testing.B) {
			w := newWorld(b, &gate{}, url)
			client := w.client(b, proto)
			b.ReportAllocs()
			for b.Loop() {
				res, err := client.Get(origin + "/inbox")
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, res.Body); n != int64(len(page)) || err != nil {
					b.Fatalf("page = %d bytes, %v", n, err)
				}
				res.Body.Close()
			}
		})
	}
	b.Run("no gateway", func(b *testing.B) { // what the client and the service cost by themselves
		b.ReportAllocs()
		for b.Loop() {
			res, err := http.Get(url)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	})
}
