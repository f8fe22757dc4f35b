package client_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"promess/authgw/internal/client"
)

// settings are of a client that is right.
func settings() client.Settings {
	return client.Settings{ID: "agenda", Title: "Agenda partagé", RedirectURIs: []string{"https://agenda.example.fr/callback"}}
}

// own are hosts of the gateway.
func own() client.Own {
	return client.Own{Hosts: []string{"auth.example.fr", "card.example.fr"}, Services: []string{"mail"}}
}

// problems returns what is said about a key.
func problems(t *testing.T, s client.Settings, key string) string {
	t.Helper()
	c, err := s.Client(own())
	if err == nil {
		return ""
	}
	var refused *client.Refused
	if !errors.As(err, &refused) || c != nil {
		t.Fatalf("Client = %v, %v, want no client and a *Refused", c, err)
	}
	var texts []string
	for _, p := range refused.Problems {
		if p.Key != key {
			t.Errorf("%s: %s, but only %s is wrong", p.Key, p.Text, key)
		}
		texts = append(texts, p.Text)
	}
	return strings.Join(texts, "; ")
}

// F1, F2: wherever a browser is sent to is an exact URL, in the one spelling that every program reads alike. Keycloak CVE-2026-7504 and
// CVE-2024-8883, authentik CVE-2024-52289, oauth2-proxy CVE-2021-21291, Traefik CVE-2024-52003: the check and the browser read one text as two hosts.
func TestF1RedirectURIsThatAreRefused(t *testing.T) {
	for name, tt := range map[string]struct{ uri, want string }{
		"nothing":                       {"", "nothing given"},
		"relative":                      {"/callback", "an absolute URL"},
		"relative with two slashes":     {"//agenda.example.fr/callback", "an absolute URL"},
		"no host":                       {"https:///callback", "a host expected"},
		"no host, one slash":            {"https:/agenda.example.fr/callback", "a host expected"},
		"no slash":                      {"https:agenda.example.fr", "a slash expected"},
		"http":                          {"http://agenda.example.fr/callback", "https expected, http given"},
		"http on loopback, not native":  {"http://127.0.0.1/callback", "https expected, http given"},
		"javascript":                    {"javascript:alert(1)", "scheme \"javascript\" given"},
		"javascript as if with a host":  {"javascript://agenda.example.fr/%0aalert(1)", "behind a percent sign"},
		"data":                          {"data:text/html,x", "scheme \"data\" given"},
		"file":                          {"file:///etc/passwd", "scheme \"file\" given"},
		"blob":                          {"blob:https://agenda.example.fr/1", "scheme \"blob\" given"},
		"a scheme of its own":           {"fr.example.app:/callback", "for a native client alone"},
		"wildcard host":                 {"https://*.example.fr/callback", "wildcards are not taken"},
		"wildcard path":                 {"https://agenda.example.fr/*", "wildcards are not taken"},
		"wildcard port":                 {"https://agenda.example.fr:*/callback", "wildcards are not taken"},
		"fragment":                      {"https://agenda.example.fr/callback#x", "a fragment"},
		"empty fragment":                {"https://agenda.example.fr/callback#", "a fragment"},
		"user":                          {"https://agenda.example.fr@evil.test/callback", "an @ is in it"},
		"user and password":             {"https://a:b@agenda.example.fr/callback", "an @ is in it"},
		"several @":                     {"https://a@evil.test@agenda.example.fr/callback", "an @ is in it"},
		"@ in the path":                 {"https://agenda.example.fr/@evil.test", "an @ is in it"},
		"backslash":                     {`https://evil.test\@agenda.example.fr/`, "a backslash"},
		"backslashes for slashes":       {`https:\\agenda.example.fr\callback`, "a backslash"},
		"escaped backslash":             {"https://agenda.example.fr/%5c", "behind a percent sign"},
		"tab":                           {"https://agenda.example.fr/call\tback", "a space or a control character"},
		"line feed":                     {"https://agenda.example.fr/\n", "a space or a control character"},
		"space in front":                {" https://agenda.example.fr/", "a space or a control character"},
		"NUL":                           {"https://agenda.example.fr/\x00", "a space or a control character"},
		"DEL":                           {"https://agenda.example.fr/\x7f", "a space or a control character"},
		"escaped line feed":             {"https://agenda.example.fr/%0Aback", "behind a percent sign"},
		"letters beyond ASCII":          {"https://agendа.example.fr/", "beyond ASCII"},
		"full-width dot":                {"https://agenda．example.fr/", "beyond ASCII"},
		"upper-case scheme":             {"HTTPS://agenda.example.fr/callback", `write "https"`},
		"upper-case host":               {"https://Agenda.example.fr/callback", `write "agenda.example.fr"`},
		"port of https":                 {"https://agenda.example.fr:443/callback", "take :443 out"},
		"port with a zero":              {"https://agenda.example.fr:08443/", "a port from 1 to 65535"},
		"port too high":                 {"https://agenda.example.fr:65536/", "a port from 1 to 65535"},
		"empty port":                    {"https://agenda.example.fr:/", "a port expected"},
		"dot at the end of the host":    {"https://agenda.example.fr./callback", "a host name such as"},
		"two dots in the host":          {"https://agenda..example.fr/", "a host name such as"},
		"escape in the host":            {"https://%61genda.example.fr/", "something else given"},
		"IPv4 in hexadecimal":           {"https://0x7f.1/", "an IPv4 address in its plain spelling"},
		"IPv4 as one number":            {"https://2130706433/", "an IPv4 address in its plain spelling"},
		"IPv4 in octal":                 {"https://0177.0.0.1/", "an IPv4 address in its plain spelling"},
		"IPv6 at length":                {"https://[2001:0db8::1]/", "an IPv6 address in its plain spelling"},
		"IPv6 with a zone":              {"https://[fe80::1%25eth0]/", "an IPv6 address in its plain spelling"},
		"IPv4 in IPv6":                  {"https://[::ffff:192.0.2.1]/", "an IPv6 address in its plain spelling"},
		"dots in the path":              {"https://agenda.example.fr/a/../callback", "a path without . and .."},
		"escaped dots in the path":      {"https://agenda.example.fr/a/%2E%2e/callback", "a path without . and .."},
		"empty query":                   {"https://agenda.example.fr/callback?", "a ? without anything"},
		"a parameter of the answer":     {"https://agenda.example.fr/callback?code=x", "the parameter code"},
		"a broken escape":               {"https://agenda.example.fr/%zz", "something else given"},
		"a broken escape in the query":  {"https://agenda.example.fr/?a=%z", "a character is in it"},
		"a quote":                       {"https://agenda.example.fr/?a=\"", "a character is in it"},
		"the gateway itself":            {"https://auth.example.fr/callback", "the gateway's own"},
		"the gateway's card host":       {"https://card.example.fr:8443/", "the gateway's own"},
		"longer than 2,000 characters":  {"https://agenda.example.fr/" + strings.Repeat("a", 2000), "at most 2000 characters"},
		"a password is not shown again": {"https://user:hunter2@agenda.example.fr/", "an @ is in it"},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			s.RedirectURIs = []string{tt.uri}
			if got := problems(t, s, "redirect_uris[0]"); !strings.Contains(got, tt.want) || strings.Contains(got, "hunter2") {
				t.Errorf("refused with %q, want %q", got, tt.want)
			}
			s = settings()
			s.PostLogoutRedirectURIs = []string{tt.uri}
			if got := problems(t, s, "post_logout_redirect_uris[0]"); !strings.Contains(got, tt.want) {
				t.Errorf("after the logout refused with %q, want %q", got, tt.want)
			}
		})
	}
}

func TestF1RedirectURIsOfNativeClients(t *testing.T) {
	for uri, want := range map[string]string{
		"https://agenda.example.fr/callback": "",
		"http://127.0.0.1/callback":          "",
		"http://127.0.0.1:8421/callback":     "",
		"http://[::1]/callback":              "",
		"fr.example.agenda:/callback":        "",
		"fr.example.agenda://callback":       "",
		"http://localhost/callback":          "not on localhost",
		"http://127.0.0.1.evil.test/":        "https expected, http given",
		"http://127.0.0.2/":                  "https expected, http given",
		"http://127.0.0.1:80/":               "take :80 out",
		"agenda:/callback":                   "with a dot in it",
		"javascript:alert(1)":                `scheme "javascript" given`,
		"javascript:/x":                      "with a dot in it",
		"fr.example.agenda:callback":         "a slash expected",
		"fr.example.agenda://Host/":          "in lower case",
		"Fr.example.agenda:/callback":        `write "fr.example.agenda"`,
	} {
		s := settings()
		s.Native, s.RedirectURIs = true, []string{uri}
		if got := problems(t, s, "redirect_uris[0]"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: refused with %q, want %q", uri, got, want)
		}
	}
}

func TestRedirectURIsThatAreTaken(t *testing.T) {
	s := settings()
	s.RedirectURIs = []string{
		"https://agenda.example.fr", "https://agenda.example.fr/", "https://agenda.example.fr:8443/callback", "https://agenda.example.fr/callback?tenant=3&x=a%20b",
		"https://192.0.2.1/callback", "https://[2001:db8::1]:8443/callback", "https://xn--cole-9oa.example.fr/a/.well/b..c/%C3%A9", "https://intranet/callback",
		"https://auth.example.fr.other.test/", "https://agenda.example.fr//callback",
	}
	c, err := s.Client(own())
	if err != nil {
		t.Fatal(err)
	}
	for _, uri := range s.RedirectURIs {
		if !c.Answered(uri) {
			t.Errorf("%s is not one of the client's own", uri)
		}
	}
}

// F1: a URI of a request is compared character for character; only the port of a native client's loopback address is its own (RFC 8252, 7.3).
func TestF1AnsweredAtItsOwnURIsAlone(t *testing.T) {
	s := settings()
	s.PostLogoutRedirectURIs = []string{"https://agenda.example.fr/bye"}
	web, err := s.Client(client.Own{})
	if err != nil {
		t.Fatal(err)
	}
	s.Native, s.RedirectURIs = true, []string{"http://127.0.0.1/callback", "http://[::1]:1/callback", "fr.example.agenda:/callback"}
	native, err := s.Client(client.Own{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		c    *client.Client
		uri  string
		want bool
	}{
		{web, "https://agenda.example.fr/callback", true},
		{web, "https://agenda.example.fr/callback/", false},
		{web, "https://agenda.example.fr/callback?x=1", false},
		{web, "https://agenda.example.fr/Callback", false},
		{web, "https://agenda.example.fr/call%62ack", false},
		{web, "https://agenda.example.fr:443/callback", false},
		{web, "https://agenda.example.fr/callback#x", false},
		{web, "https://agenda.example.fr/", false},
		{web, "https://agenda.example.fr/bye", false},
		{web, "", false},
		{native, "http://127.0.0.1/callback", true},
		{native, "http://127.0.0.1:49152/callback", true},
		{native, "http://[::1]:49152/callback", true},
		{native, "http://[::1]/callback", true},
		{native, "http://127.0.0.1:49152/other", false},
		{native, "http://127.0.0.1:49152/callback?x=1", false},
		{native, "http://127.0.0.1:49152@evil.test/callback", false},
		{native, "http://127.0.0.1:x/callback", false},
		{native, "http://localhost:49152/callback", false},
		{native, "https://127.0.0.1:49152/callback", false},
		{native, "fr.example.agenda:/callback", true},
		{native, "fr.example.agenda:/callback/..", false},
	} {
		if got := tt.c.Answered(tt.uri); got != tt.want {
			t.Errorf("Answered(%q) = %v, want %v", tt.uri, got, tt.want)
		}
	}
	if !web.ComesBack("https://agenda.example.fr/bye") || web.ComesBack("https://agenda.example.fr/callback") || web.ComesBack("") {
		t.Error("after the logout a person comes back elsewhere than to post_logout_redirect_uris")
	}
}

// F10: Zitadel CVE-2025-67494, LemonLDAP CVE-2023-44469: a URL of a client makes the server call its own network. RFC 6890 lists what is not public.
func TestF10BackchannelIsNotInPrivateNetworks(t *testing.T) {
	for uri, want := range map[string]string{
		"https://agenda.example.fr/logout": "",
		"https://8.8.8.8/logout":           "",
		"https://[2606:4700::1]/logout":    "",
		"http://agenda.example.fr/logout":  "https expected, http given",
		"https://auth.example.fr/logout":   "the gateway's own",
		"https://127.0.0.1/logout":         "not a public address",
		"https://10.1.2.3/logout":          "not a public address",
		"https://172.16.0.1/logout":        "not a public address",
		"https://192.168.1.1/logout":       "not a public address",
		"https://169.254.169.254/latest":   "not a public address",
		"https://100.64.0.1/logout":        "not a public address",
		"https://0.0.0.0/logout":           "not a public address",
		"https://224.0.0.1/logout":         "not a public address",
		"https://255.255.255.255/logout":   "not a public address",
		"https://[::1]/logout":             "not a public address",
		"https://[::]/logout":              "not a public address",
		"https://[fe80::1]/logout":         "not a public address",
		"https://[fd00::1]/logout":         "not a public address",
		"https://[64:ff9b::a01:203]/":      "not a public address",
		"https://[2002:a01:203::1]/":       "not a public address",
	} {
		s := settings()
		s.BackchannelLogoutURI = uri
		if got := problems(t, s, "backchannel_logout_uri"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: refused with %q, want %q", uri, got, want)
		}
	}
	s := settings()
	s.BackchannelLogoutURI, s.BackchannelNetworks = "https://10.1.2.3/logout", []string{"10.1.2.0/24", "fd00::1"}
	c, err := s.Client(client.Own{})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.1.3.3": false, "fd00::1": true, "fd00::2": false, "127.0.0.1": false, "9.9.9.9": true, "::ffff:127.0.0.1": false,
	} {
		if got := c.MayTell(netip.MustParseAddr(address)); got != want {
			t.Errorf("MayTell(%s) = %v, want %v", address, got, want)
		}
	}
	if c.MayTell(netip.Addr{}) {
		t.Error("no address may be told")
	}
	for _, network := range []string{"0.0.0.0/0", "::/0", "10.1.2.3/24", "10.0.0.0", "here", "fe80::1%eth0"} {
		s.BackchannelNetworks = []string{"10.1.2.0/24", network}
		if got := problems(t, s, "backchannel_networks[1]"); (got == "") != (network == "10.0.0.0") {
			t.Errorf("%s: %q", network, got)
		}
	}
}
