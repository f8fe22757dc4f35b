package config_test

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/config"
)

func TestPasskeysAndPhones(t *testing.T) {
	dir := mailDirectory(t)
	const keys = smallYAML + "seal_keys: seal.keys\n"
	for _, tt := range []struct {
		name, text string
		passkeys   bool
		phone      config.Phone
	}{
		{"no keys", smallYAML, false, config.Phone{}},
		{"keys", keys, true, config.Phone{Enabled: true}},
		{"keys, and off", keys + "phone: {enabled: false}\npasskeys: {enabled: false}\n", false, config.Phone{}},
		{"passkeys need no keys of a file", smallYAML + "passkeys: {enabled: true}\n", true, config.Phone{}},
		{"networks", keys + "phone: {networks: [192.0.2.0/24, \"2001:db8:12::/48\", 198.51.100.7]}\n", true, config.Phone{
			Enabled: true, Networks: []netip.Prefix{
				netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:12::/48"), netip.MustParsePrefix("198.51.100.7/32"),
			},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(dir, "c.yaml")
			g, err := config.ParseGateway([]byte(tt.text), file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.phone, g.Phone, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" || g.Passkeys.Enabled != tt.passkeys {
				t.Errorf("passkeys = %t; phone (-want +got):\n%s", g.Passkeys.Enabled, diff)
			}
			checkGatewayDump(t, []byte(tt.text), file)
		})
	}
}

func TestPhoneThatIsRefused(t *testing.T) {
	dir := mailDirectory(t)
	const keys = smallYAML + "seal_keys: seal.keys\n"
	for _, tt := range []struct{ name, text, want string }{
		{"no keys", smallYAML + "phone: {enabled: true}\n", "phone.enabled: seal_keys expected beside it"},
		{"no networks at all", keys + "phone: {networks: []}\n", "phone.networks: at least one network expected"},
		{"a network that begins in its middle", keys + "phone: {networks: [192.0.2.7/24]}\n", "phone.networks[0]: a network such as 192.0.2.0/24"},
		{"a name", keys + "phone: {networks: [hopital.example.fr]}\n", "phone.networks[0]: a network such as"},
		{"an IPv4 network in the clothes of IPv6", keys + "phone: {networks: [\"::ffff:192.0.2.0/120\"]}\n", "phone.networks[0]: a network such as"},
		{"a network twice", keys + "phone: {networks: [192.0.2.0/24, 192.0.2.0/24]}\n", "phone.networks[1]: given twice"},
		{"a key that is not known", keys + "phone: {network: [192.0.2.0/24]}\n", `phone.network: unknown key; did you mean "networks"?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := config.ParseGateway([]byte(tt.text), filepath.Join(dir, "c.yaml"))
			if g != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
}
