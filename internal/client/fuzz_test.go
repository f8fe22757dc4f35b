package client_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"promess/authgw/internal/client"
)

// taken says whether a URI is taken for a native client, which may have every kind.
func taken(uri string) bool {
	s := settings()
	s.Native, s.RedirectURIs = true, []string{uri}
	_, err := s.Client(own())
	return err == nil
}

// seeds are URIs to begin with, and pieces that readers of URLs have disagreed about.
func seeds() (uris, pieces []string) {
	return []string{
			"https://agenda.example.fr/callback", "https://agenda.example.fr:8443/a/b?x=1&y=%20", "https://192.0.2.1/", "https://[2001:db8::1]:8443/cb",
			"http://127.0.0.1:8000/cb", "http://[::1]/cb", "fr.example.app:/cb", "fr.example.app://cb/x", "https://xn--cole-9oa.example.fr", "javascript:alert(1)",
		}, []string{
			"@", "\\", "#", "?", "//", "/../", "/./", "%2e", "%2E%2e/", ":", ":443", ":0", "\t", "\n", " ", "\x00", "*", "%00", "%5c", "%40", "evil.test", "https:", "http:", ";", "[", "]",
			"%", "0x7f.1", "127.1", "０", "。", "ß", "\u00ad", "\u200d", "|", "^", "`", "{", "\"", "<", "'", "A", "xn--", "..", "-", "_", "~", "$", "&", "=", "+", "!",
		}
}

// browser is a second reading of a URI, as the URL Standard of WHATWG has it, section 4.4, for what matters here: where the host ends.
func browser(uri string) (origin string) {
	text := strings.Trim(uri, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f ")
	text = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(text)
	scheme, rest, _ := strings.Cut(text, ":")
	scheme = strings.ToLower(scheme)
	if scheme != "https" && scheme != "http" {
		return "null" // the origin of what is not special
	}
	rest = strings.TrimLeft(strings.ReplaceAll(rest, "\\", "/"), "/") // special authority ignore slashes state
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	rest = rest[strings.LastIndex(rest, "@")+1:]
	host := strings.ToLower(rest)
	port := map[string]string{"https": ":443", "http": ":80"}[scheme]
	return scheme + "://" + strings.TrimSuffix(host, port)
}

func FuzzF1RedirectURI(f *testing.F) {
	uris, pieces := seeds()
	for _, uri := range uris {
		f.Add(uri)
		for _, piece := range pieces {
			f.Add(uri + piece)
		}
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if !taken(uri) {
			return
		}
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatalf("%q is taken, and net/url does not read it: %v", uri, err)
		}
		if u.String() != uri || len(uri) > 2000 || u.User != nil || u.Fragment != "" || u.Opaque != "" {
			t.Errorf("%q is taken, and is written %q", uri, u)
		}
		ours := "null"
		if u.Scheme == "https" || u.Scheme == "http" {
			ours = u.Scheme + "://" + u.Host
		}
		if theirs := browser(uri); theirs != ours {
			t.Errorf("%q is taken for %s, and a browser goes to %s", uri, ours, theirs)
		}
		if strings.HasPrefix(ours, "http://") && u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" {
			t.Errorf("%q is taken, and is sent in clear", uri)
		}
	})
}

// F1: what is taken is, for another implementation of the URL Standard (that of Node.js), the same text, at the same origin.
func TestF1BrowsersReadWhatIsTakenAlike(t *testing.T) {
	uris, pieces := seeds()
	var all []string
	for _, uri := range uris {
		for _, piece := range pieces {
			for i := range len(uri) + 1 {
				if one := uri[:i] + piece + uri[i:]; taken(one) {
					all = append(all, one)
				}
			}
		}
	}
	if len(all) < 500 {
		t.Fatalf("%d of the URIs are taken: too few to learn from", len(all))
	}
	in, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "-e", `
		const all = JSON.parse(require("fs").readFileSync(0));
		console.log(JSON.stringify(all.map(s => { try { const u = new URL(s); return [u.origin, u.href] } catch { return ["", ""] } })));`)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("node: %v\n%s", err, errOut.String())
	}
	var read [][2]string
	if err := json.Unmarshal(out.Bytes(), &read); err != nil || len(read) != len(all) {
		t.Fatalf("%d answers for %d URIs: %v", len(read), len(all), err)
	}
	for i, uri := range all {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		origin, plain := "null", uri
		if u.Scheme == "https" || u.Scheme == "http" {
			origin = u.Scheme + "://" + u.Host
			if u.Path == "" { // which a browser fills in
				u.Path = "/"
				plain = u.String()
			}
		}
		if read[i][0] == "" && strings.Contains(u.Host, "xn--") {
			continue // what is behind it is no name: a browser goes nowhere
		}
		if read[i][0] != origin || read[i][1] != plain {
			t.Errorf("%q: origin %s, and %q for a browser, at %s", uri, origin, read[i][1], read[i][0])
		}
	}
}

// G2, F10: what is written of a client reads back as it was, and a private key in it is not taken, nor shown.
func FuzzSettings(f *testing.F) {
	f.Add(settings().String())
	f.Add(`{"id":"a","title":"b","jwks":{"keys":[{"kty":"RSA","d":"hushhush"}]},"auth":"private_key_jwt","device":true}`)
	f.Add(`{"id":"a","title":"b","allow":{"level":"hardware"},"max_age":"15m","introspect":true}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := client.ParseSettings(text)
		if err != nil {
			return
		}
		c, err := s.Client(client.Own{})
		if (c == nil) == (err == nil) {
			t.Fatalf("Client = %v, %v", c, err)
		}
		if err != nil {
			if strings.Contains(err.Error(), "hushhush") && !strings.Contains(s.ID+s.Title+strings.Join(s.RedirectURIs, ""), "hushhush") && strings.Contains(string(s.JWKS), `"d":"hushhush"`) {
				t.Error("a private key is in the error")
			}
			return
		}
		again, err := client.ParseSettings(s.String())
		if err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		if _, err := again.Client(client.Own{}); err != nil || again.String() != s.String() {
			t.Errorf("read back: %v\n%s\n%s", err, s, again)
		}
	})
}
