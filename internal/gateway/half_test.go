package gateway_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"promess/authgw/internal/cardwire"
)

// Issue 2, bad input: half a request is told so, and does nothing. One that asks for a token to be revoked was answered 200, which says that
// it is (RFC 7009, section 2.2), and one to sign out signed out.
func TestHalfARequestIsNoneAndIsToldSo(t *testing.T) {
	f := newFiles(t)
	f.write(t, "seal.keys", sealKey("k1"))
	f.config.SealKeys = f.path("seal.keys")
	r := f.run(t)
	for _, tt := range []struct{ host, path string }{
		{"auth.example.test", "/login/card"}, {"auth.example.test", cardwire.FetchPath}, {"auth.example.test", cardwire.WatchPath},
		{"auth.example.test", "/logout"}, {"auth.example.test", "/login/otp/password"}, {"auth.example.test", "/oauth/token"},
		{"auth.example.test", "/oauth/revoke"}, {"auth.example.test", "/oauth/introspect"}, {"card.example.test", cardwire.ProvePath},
	} {
		for _, half := range []struct {
			name, body string
			cut        bool // the client says that no more will come
			want       int
		}{
			{"broken", "Transfer-Encoding: chunked\r\n\r\nzz\r\n", false, http.StatusBadRequest},
			{"cut off", "Content-Length: 9\r\n\r\nhalf", true, http.StatusBadRequest},
			{"too large", "Content-Length: 99999999\r\n\r\n", false, http.StatusRequestEntityTooLarge},
		} {
			t.Run(tt.path+" "+half.name, func(t *testing.T) {
				conn, err := tls.Dial("tcp", r.address, &tls.Config{ServerName: tt.host, RootCAs: f.pki.ServerRoots()})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(conn, "POST "+tt.path+" HTTP/1.1\r\nHost: "+tt.host+"\r\nContent-Type: application/x-www-form-urlencoded\r\n"+half.body); err != nil {
					t.Fatal(err)
				}
				if half.cut {
					if err := conn.CloseWrite(); err != nil {
						t.Fatal(err)
					}
				}
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				if answer.StatusCode != half.want {
					t.Errorf("status = %d, want %d", answer.StatusCode, half.want)
				}
				if got := answer.Header.Values("Set-Cookie"); got != nil {
					t.Errorf("cookies %q", got)
				}
			})
		}
	}
}
