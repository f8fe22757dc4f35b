package gateway_test

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/config"
	"promess/authgw/internal/mailtest"
	"promess/authgw/internal/testpki"
)

const (
	registerPage = auth + "/account/register"
	password     = "mot de passe"
)

// sealKey is a line of a key file, as the documentation has it made.
func sealKey(id string) []byte {
	secret := make([]byte, 32)
	rand.Read(secret)
	return []byte(id + " " + base64.StdEncoding.EncodeToString(secret) + "\n")
}

// post gives the files a mail server, and returns it. The gateway then asks for an ordinary address after the first login.
func (f *files) post(t *testing.T) *mailtest.Server {
	t.Helper()
	s := f.mailServer(t, password)
	f.write(t, "seal.keys", sealKey("k1"))
	f.write(t, "mail.password", []byte(password+"\n"))
	f.config.SealKeys = f.path("seal.keys")
	f.config.Accounts.Register = true
	f.config.Mail = config.Mail{
		Host: "127.0.0.1", Port: s.Port, TLS: "starttls", CA: f.path("backend.pem"), User: "authgw", PasswordFile: f.path("mail.password"),
		From: "no-reply@example.test", Timeout: 10 * time.Second, ProtectedDomains: []string{"mssante.example.test"},
	}
	return s
}

func (f *files) mailServer(t *testing.T, password string) *mailtest.Server {
	t.Helper()
	cert := must(t, func() (tls.Certificate, error) { return f.pki.ServerCertificate("127.0.0.1") })
	return mailtest.Start(t, mailtest.Config{Certificate: cert, User: "authgw", Password: password})
}

// send sends a form of the host's own page, and returns where it leads and the page.
func (p *person) send(address string, fields ...string) (location, body string) {
	p.t.Helper()
	values := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, address, strings.NewReader(values.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	answer, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.Header.Get("Location"), string(data)
}

// ask signs a new person in and has a code sent to an address.
func (r *running) ask(t *testing.T, nationalID, address string) *person {
	t.Helper()
	p := r.person(t, r.files.card(t, testpki.Card{NationalID: nationalID}))
	if status, body, _ := p.logIn(); status != http.StatusSeeOther {
		t.Fatalf("login = %d %.500s", status, body)
	}
	if location, body := p.send(registerPage, "address", address); location != "/account/register/code" {
		t.Fatalf("the address leads to %q: %.2000s", location, body)
	}
	return p
}

// answer types the code of the n-th message, and wants it to be taken.
func (p *person) answer(s *mailtest.Server, n int) {
	p.t.Helper()
	code := regexp.MustCompile(`\b[0-9]{4} [0-9]{4}\b`).FindString(s.Await(p.t, n).Text)
	if location, body := p.send(registerPage+"/code", "code", code); location != "/account/register/done" {
		p.t.Errorf("the code leads to %q: %.2000s", location, body)
	}
}

func TestAddressIsAskedForWhereMessagesCanBeSent(t *testing.T) {
	f := newFiles(t)
	server := f.post(t)
	r := f.run(t)
	r.ask(t, "899700218896", "jeanne.martin@example.fr").answer(server, 1)
	m := server.Await(t, 1)
	if m.To != "jeanne.martin@example.fr" || m.From != "no-reply@example.test" || m.User != "authgw" || !m.TLS {
		t.Errorf("message from %q to %q by user %q, TLS %t, want what the configuration says", m.From, m.To, m.User, m.TLS)
	}
	p := r.person(t, f.card(t, testpki.Card{NationalID: "810001234567"}))
	p.logIn()
	if location, _ := p.send(registerPage, "address", "box@mssante.example.test"); location != "" || server.Count() != 1 {
		t.Errorf("an address of a protected domain leads to %q, %d messages; want it refused", location, server.Count())
	}
	if text := r.log.String() + r.audit.String(); strings.Contains(text, password) || strings.Contains(text, "jeanne.martin") {
		t.Error("the password or the address is in the log or the audit")
	}
}

func TestNobodyIsAskedForAnAddressWithoutMail(t *testing.T) {
	for name, change := range map[string]func(f *files){
		"no mail": func(f *files) { f.config.Mail, f.config.Accounts.Register = config.Mail{}, false },
		"no mail and no keys": func(f *files) {
			f.config.Mail, f.config.SealKeys, f.config.Accounts.Register = config.Mail{}, "", false
		},
		"the operator wants none": func(f *files) { f.config.Accounts.Register = false },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFiles(t)
			f.post(t)
			change(f)
			p := f.run(t).person(t, f.card(t, testpki.Card{}))
			p.logIn()
			_, location, _ := p.visit(http.MethodGet, auth+"/login")
			if status, _, _ := p.visit(http.MethodGet, auth+"/"); status != http.StatusOK || location != "/" {
				t.Errorf("portal = %d, login leads to %q, want the portal", status, location)
			}
		})
	}
}

// A1: a file that mail needs and that is missing or holds anything else stops the start, and is named. It never means going on without.
func TestA1UnusableFilesOfMailStopTheStart(t *testing.T) {
	for _, name := range []string{"seal.keys", "mail.password", "mail-ca.pem"} {
		for state, data := range map[string]string{"missing": "", "empty": "\n", "garbage": "\x00\x01 nonsense\nmore\n"} {
			t.Run(name+" "+state, func(t *testing.T) {
				f := newFiles(t)
				f.post(t)
				f.config.Mail.CA = f.path("mail-ca.pem")
				f.write(t, "mail-ca.pem", testpki.CertificatePEM(f.pki.Server.Certificate))
				f.write(t, name, []byte(data))
				if data == "" {
					os.Remove(f.path(name))
				}
				g, err := f.open(t, io.Discard, io.Discard)
				if err == nil {
					g.Close()
					t.Fatal("the gateway starts")
				}
				if !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "nonsense") {
					t.Errorf("error = %q, want the name of the file and nothing of what it holds", err)
				}
			})
		}
	}
}

// With keys that are not the database's nothing that was sealed could be opened, and codes would be checked by keys that nobody else has.
func TestKeysOfAnotherDatabaseStopTheStart(t *testing.T) {
	f := newFiles(t)
	f.post(t)
	f.run(t)
	for name, keys := range map[string][]byte{"other keys": sealKey("k1"), "keys of another name": sealKey("k2"), "no keys": nil} {
		f.write(t, "seal.keys", keys)
		f.config.SealKeys = f.path("seal.keys")
		if keys == nil {
			f.config.SealKeys, f.config.Mail, f.config.Accounts.Register = "", config.Mail{}, false
		}
		g, err := f.open(t, io.Discard, io.Discard)
		if err == nil {
			g.Close()
			t.Errorf("%s: the gateway starts", name)
			continue
		}
		if !strings.Contains(err.Error(), "seal_keys") {
			t.Errorf("%s: error = %q, want the key that is wrong in it", name, err)
		}
	}
}
