package config_test

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"promess/authgw/internal/config"
)

// behindProxy is smallYAML with a service that stands behind another proxy.
func behindProxy(keys string) string {
	return strings.Replace(smallYAML, `backend: "http://127.0.0.1:8080"`, keys, 1)
}

func TestServiceBehindAnotherProxy(t *testing.T) {
	dir := directory(t)
	text := behindProxy(`proxies: [192.0.2.10, 198.51.100.0/28, "2001:db8::10"]`)
	file := filepath.Join(dir, "c.yaml")
	g, err := config.ParseGateway([]byte(text), file)
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32"), netip.MustParsePrefix("198.51.100.0/28"), netip.MustParsePrefix("2001:db8::10/128")}
	if s := g.Services[0]; !slices.Equal(s.Proxies, want) || s.Backend != nil {
		t.Errorf("service = %+v, want proxies %v and no backend", s, want)
	}
	checkGatewayDump(t, []byte(text), file)
}

// B4: who may ask is said, and is never everybody.
func TestServiceThatIsReachedInNoWayOrInTwo(t *testing.T) {
	dir := directory(t)
	for _, tt := range []struct{ name, keys, want string }{
		{"neither", "description: x", "services[0].backend: missing: the URL that requests are forwarded to (or proxies"},
		{"both", `backend: "http://127.0.0.1:8080", proxies: [192.0.2.10]`, "services[0].proxies: either this or backend expected, both given"},
		{"no proxies at all", "proxies: []", "services[0].proxies: missing: at least one address"},
		{"proxies that are left empty", "proxies: ", "services[0].proxies"},
		{"everybody", "proxies: [0.0.0.0/0]", "services[0].proxies[0]: the address of a proxy"},
		{"everybody, in IPv6", `proxies: ["::/0"]`, "services[0].proxies[0]: the address of a proxy"},
		{"a name", "proxies: [nginx.example.fr]", "services[0].proxies[0]: a network such as"},
		{"an IPv4 address in the clothes of IPv6", `proxies: ["::ffff:192.0.2.10"]`, "services[0].proxies[0]: a network such as"},
		{"one twice", "proxies: [192.0.2.10, 192.0.2.10]", "services[0].proxies[1]: given twice"},
		{"authorities of a backend that is none", "proxies: [192.0.2.10], backend_ca: server.pem", "services[0].backend_ca: an https backend expected beside it, none given"},
		{"a key that is not known", "proxie: [192.0.2.10]", `services[0].proxie: unknown key; did you mean "proxies"?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := config.ParseGateway([]byte(behindProxy(tt.keys)), filepath.Join(dir, "c.yaml"))
			if g != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
}
