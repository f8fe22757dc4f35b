package psctest

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// LogoutToken is what a back-channel logout says (OpenID Connect Back-Channel Logout 1.0, section 2.4). What is empty is left out, but for
// Issuer and JTI, which have right values then.
type LogoutToken struct {
	Audience string // the client's id
	Sid, Sub string // of one of IDTokens
	JTI      string
	Issuer   string

	NoEvent bool          // without the event that makes it a logout token
	Nonce   bool          // with a nonce, which makes it an ID token
	Age     time.Duration // since it was made; it is good for two minutes
	Lasts   time.Duration // when that is not what it is good for
	Quirk   IDTokenQuirk  // IDTokenOtherKey, IDTokenAlgNone, IDTokenHS256 …: how it is signed
}

// LogoutToken signs a logout token. Sending it twice is a replay.
func (s *Server) LogoutToken(tb testing.TB, l LogoutToken) string {
	tb.Helper()
	made := time.Now().Add(-l.Age)
	if l.Lasts == 0 {
		l.Lasts = 2 * time.Minute
	}
	claims := map[string]any{
		"iss": s.config.Issuer, "iat": made.Unix(), "exp": made.Add(l.Lasts).Unix(), "jti": rand.Text(), "typ": "Logout",
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	for name, value := range map[string]string{"aud": l.Audience, "sid": l.Sid, "sub": l.Sub, "jti": l.JTI, "iss": l.Issuer} {
		if value != "" {
			claims[name] = value
		}
	}
	if l.NoEvent {
		delete(claims, "events")
	}
	if l.Nonce {
		claims["nonce"] = rand.Text()
	}
	token, err := s.signAs(claims, l.Quirk)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// SendLogout posts a logout token to a relying party, and returns the status of the answer.
func SendLogout(tb testing.TB, client *http.Client, uri, token string) int {
	tb.Helper()
	body := strings.NewReader(url.Values{"logout_token": {token}}.Encode())
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, uri, body)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := client.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)) // only the status counts
	return response.StatusCode
}
