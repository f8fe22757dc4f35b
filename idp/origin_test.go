package idp_test

import (
	"net/http"
	"strings"
	"testing"
)

// B6: the addresses that the gateway gives come from its configuration, whatever a request says about where it came from or went to.
func TestB6AddressesComeFromTheConfiguration(t *testing.T) {
	w := newWorld(t)
	lies := []string{
		"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "X-Forwarded-Port", "8080", "X-Original-Host", "evil.example",
		"X-Forwarded-Prefix", "/evil", "Forwarded", "host=evil.example;proto=http", "X-Host", "evil.example", "Origin", "", "Referer", "https://evil.example/",
	}
	inside := w.inside(t)
	for _, tt := range []struct {
		name string
		get  func() page
		want string
	}{
		{"to the login", func() page { return w.browser(t).get(mail+"/inbox", lies...) }, auth + "/login?"},
		{"of a program", func() page {
			return w.browser(t).get(mail+"/api", append(lies, "Sec-Fetch-Mode", "cors", "Accept", "application/json")...)
		}, `"login":"` + mail + `/inbox"`},
		{"of a refusal", func() page { return w.browser(t).get(mail+"/.authgw/enter?code=x&state=y", lies...) }, mail + "/inbox"},
		{"on the portal", func() page { return inside.get(auth+"/", lies...) }, mail + "/inbox"},
		{"of the sign-out", func() page {
			return inside.get(mail+"/.authgw/logout", append(lies, "Sec-Fetch-Site", "same-origin")...)
		}, mail + "/.authgw/leave"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.get()
			all := p.location + "\n" + p.body
			for _, values := range p.header {
				all += "\n" + strings.Join(values, "\n")
			}
			if strings.Contains(all, "evil") || strings.Contains(all, ":8080") {
				t.Errorf("the answer repeats what the request said: %d\n%.600s", p.status, all)
			}
			if !strings.Contains(all, tt.want) {
				t.Errorf("the answer is without %q: %d\n%.600s", tt.want, p.status, all)
			}
			if p.status == http.StatusMisdirectedRequest {
				t.Error("the request did not reach the gateway's pages")
			}
		})
	}
}
