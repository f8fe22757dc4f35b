package gateway_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"promess/authgw/internal/testpki"
)

// C6: the next message goes by what the file says now; a code that went out before is still good.
func TestC6ChangedMailComesIntoForce(t *testing.T) {
	f := newFiles(t)
	one := f.post(t)
	r, hangup := f.serve(t)
	before := r.ask(t, "899700218896", "one@example.fr")
	one.Await(t, 1)

	two := f.mailServer(t, "another password")
	f.config.Mail.Port, f.config.Mail.From = two.Port, "other@example.test"
	f.config.Mail.ProtectedDomains = []string{"newly.example.test"}
	f.replace(t, "mail.password", []byte("another password\n"))
	f.save(t)
	hangup <- os.Interrupt
	eventually(t, "reloaded", func() bool { return r.reloads() > 0 })

	before.answer(one, 1)
	after := r.ask(t, "810001234567", "two@example.fr")
	if m := two.Await(t, 1); m.To != "two@example.fr" || m.From != "other@example.test" {
		t.Errorf("message from %q to %q, want it by the new configuration", m.From, m.To)
	}
	after.answer(two, 1)
	p := r.person(t, f.card(t, testpki.Card{NationalID: "810009876543"}))
	p.logIn()
	if location, _ := p.send(registerPage, "address", "box@newly.example.test"); location != "" {
		t.Errorf("an address of a domain that is protected now leads to %q, want it refused", location)
	}
	if one.Count() != 1 || two.Count() != 1 {
		t.Errorf("messages: %d at the first server and %d at the second, want one each", one.Count(), two.Count())
	}
}

// C6: a new password alone is taken without anybody telling the gateway.
func TestC6ChangedMailPasswordComesIntoForceByItself(t *testing.T) {
	f := newFiles(t)
	f.post(t)
	server := f.mailServer(t, "the next password")
	f.config.Mail.Port = server.Port // which does not take the first password
	r, _ := f.serve(t)
	p := r.person(t, f.card(t, testpki.Card{}))
	p.logIn()
	if location, _ := p.send(registerPage, "address", "one@example.fr"); location != "" || server.Count() != 0 {
		t.Fatalf("with a wrong password the address leads to %q, %d messages", location, server.Count())
	}
	f.replace(t, "mail.password", []byte("the next password\n"))
	eventually(t, "reloaded", func() bool { return r.reloads() > 0 })
	r.ask(t, "810001234567", "two@example.fr").answer(server, 1)
}

// A1: keys that are not those of the database are refused at a reload, loudly, and codes go on under those that were in force.
func TestA1WrongSealKeysKeepWhatIsInForce(t *testing.T) {
	f := newFiles(t)
	server := f.post(t)
	r, hangup := f.serve(t)
	waiting := r.ask(t, "899700218896", "one@example.fr")
	good := must(t, func() ([]byte, error) { return os.ReadFile(f.path("seal.keys")) })
	named := f.config.SealKeys
	for i, test := range []struct {
		name  string
		spoil func()
		told  string // by the log
	}{
		{"another key under the same name", func() { f.replace(t, "seal.keys", sealKey("k1")) }, "keys of seal_keys: "},
		{"the old key is gone", func() { f.replace(t, "seal.keys", sealKey("k2")) }, "keys of seal_keys: "},
		{"garbage", func() { f.replace(t, "seal.keys", []byte("not a key\n")) }, "seal_keys: a file of keys expected at"},
		{"a file that others may read", func() {
			if err := os.Chmod(f.path("seal.keys"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "mode 0644 given: chmod 600"},
		{"another file is named", func() {
			f.write(t, "other.keys", sealKey("k1"))
			f.config.SealKeys = f.path("other.keys")
			f.save(t)
		}, "keys of seal_keys: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			refused, reloaded := r.refusals(), r.reloads()
			test.spoil()
			hangup <- os.Interrupt
			eventually(t, "refused", func() bool { return r.refusals() > refused })
			last := r.log.String()
			last = last[strings.LastIndex(last, "NEW CONFIGURATION REFUSED"):]
			if !strings.Contains(last, test.told) {
				t.Errorf("the log does not say %q: %.500s", test.told, last)
			}
			if strings.Contains(r.log.String(), strings.Fields(string(good))[1]) {
				t.Error("a key is in the log")
			}
			if status, body := r.get(t, "/readyz"); status != http.StatusOK || !strings.Contains(body, `"warnings":["the configuration on disk is refused`) {
				t.Errorf("readyz = %d %s, want ready, with a warning", status, body)
			}
			if _, body := r.get(t, "/metrics"); !strings.Contains(body, "\nauthgw_config_reload_failed 1\n") {
				t.Error("the metrics do not say so")
			}
			r.ask(t, []string{"810001234501", "810001234502", "810001234503", "810001234504", "810001234505"}[i], "somebody@example.fr").answer(server, i+2)

			f.config.SealKeys = named
			f.replace(t, "seal.keys", good)
			f.save(t)
			hangup <- os.Interrupt
			eventually(t, "reloaded", func() bool { return r.reloads() > reloaded })
		})
	}
	waiting.answer(server, 1)

	// A new key in front of the old one is taken: what was sealed before can be opened still.
	reloaded := r.reloads()
	waiting = r.ask(t, "810001234506", "last@example.fr")
	f.replace(t, "seal.keys", slices.Concat(sealKey("k2"), good))
	hangup <- os.Interrupt
	eventually(t, "reloaded", func() bool { return r.reloads() > reloaded })
	waiting.answer(server, 7)
}
