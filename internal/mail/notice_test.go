package mail_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/mailtest"
)

// notices has one of each kind.
func notices(language string) []mail.Notice {
	n := mail.Notice{Language: language, At: asked(), Source: "192.0.2.7", Browser: "Firefox 153, Linux"}
	kind := func(k mail.Kind, change func(*mail.Notice)) mail.Notice {
		n := n
		n.Kind = k
		change(&n)
		return n
	}
	return []mail.Notice{
		kind(mail.LoginCode, func(n *mail.Notice) { n.Code, n.Valid, n.Service = "12345678", 10*time.Minute, "Messagerie" }),
		kind(mail.FactorAdded, func(n *mail.Notice) { n.Factor, n.Name = mail.FactorPhone, "Téléphone de garde" }),
		kind(mail.FactorRemoved, func(n *mail.Notice) { n.Factor = mail.FactorTOTP }),
		kind(mail.RecoveryUsed, func(n *mail.Notice) { n.Left = 9 }),
		kind(mail.CodesRefused, func(*mail.Notice) {}),
		kind(mail.AddressChanged, func(n *mail.Notice) { n.NewAddress = "paul@example.org" }),
		kind(mail.Invitation, func(n *mail.Notice) { n.Path, n.Valid = "/activate/a_B-9", 48*time.Hour }),
	}
}

func TestNoticeSaysWhatAPersonMustKnow(t *testing.T) {
	w := newWorld(t, mailtest.Config{}, "127.0.0.1")
	sent := 0
	for language, words := range map[string]map[mail.Kind][]string{
		"fr": {
			mail.LoginCode: {"1234 5678", "pendant 10 minutes", "02/03/2026 à 13 h 40 (CET)", "Messagerie", "Ce n", "mot de passe", "ne vous le demandera jamais",
				"appelez l"},
			mail.FactorAdded:    {"téléphone (« Téléphone de garde »)", "Ce n", "/account", "appelez l"},
			mail.FactorRemoved:  {"code à six chiffres", "Ce n", "/account", "appelez l"},
			mail.RecoveryUsed:   {"Codes de secours restants : 9.", "Ce n", "/account", "appelez l"},
			mail.CodesRefused:   {"plusieurs codes", "a ouvert votre compte", "Ce n", "Quelqu", "a votre mot de passe", "/account", "appelez l"},
			mail.AddressChanged: {"p…@example.org", "Ce n", "Appelez l"},
			mail.Invitation: {"https://auth.promess.example/activate/a_B-9", "pendant 48 heures", "04/03/2026 à 13 h 30 (CET)", "code d", "séparément",
				"prévenez l"},
		},
		"en": {
			mail.LoginCode: {"1234 5678", "for 10 minutes", "02/03/2026 at 13:40 (CET)", "Messagerie", "This was not you?", "password", "will ever ask you for it",
				"call the support"},
			mail.FactorAdded:    {"telephone (“Téléphone de garde”)", "This was not you?", "/account", "call the support"},
			mail.FactorRemoved:  {"code of six digits", "This was not you?", "/account", "call the support"},
			mail.RecoveryUsed:   {"Recovery codes left: 9.", "This was not you?", "/account", "call the support"},
			mail.CodesRefused:   {"several codes", "has opened your account", "This was not you?", "has your password", "/account", "call the support"},
			mail.AddressChanged: {"p…@example.org", "This was not you?", "Call the support"},
			mail.Invitation: {"https://auth.promess.example/activate/a_B-9", "for 48 hours", "04/03/2026 at 13:30 (CET)", "activation code", "separately",
				"tell the support"},
		},
	} {
		for _, n := range notices(language) {
			if err := w.sender(t).SendNotice(t.Context(), "jeanne@example.fr", n); err != nil {
				t.Fatal(err)
			}
			sent++
			m := w.server.Await(t, sent)
			t.Run(language+" "+string(n.Kind), func(t *testing.T) {
				want := append([]string{"01 23 45 67 89", "aide@promess.example", "ProMess"}, words[n.Kind]...)
				if n.Kind != mail.Invitation { // which nobody asked for
					want = append(want, "192.0.2.7", "Firefox 153, Linux", map[string]string{"fr": "02/03/2026 à 13 h 30 (CET)", "en": "02/03/2026 at 13:30 (CET)"}[language])
				}
				for _, word := range want {
					if !strings.Contains(m.Text, word) {
						t.Errorf("the text has no %q:\n%s", word, m.Text)
					}
					if !strings.Contains(m.HTML, word) {
						t.Errorf("the HTML has no %q:\n%s", word, m.HTML)
					}
				}
				if !strings.HasPrefix(m.Subject, map[string]string{"fr": "ProMess : ", "en": "ProMess: "}[language]) || len(m.Subject) < 20 || strings.Contains(m.Subject, "1234") {
					t.Errorf("subject %q", m.Subject)
				}
				if got := strings.Contains(m.HTML, `<html lang="`+language+`">`); !got {
					t.Errorf("the HTML does not say that it is in %q", language)
				}
				for _, foreign := range []string{"src=", "http://", "<script", "<link", "<no value>", "{{", "paul@"} {
					if strings.Contains(m.HTML+m.Text, foreign) {
						t.Errorf("the message has %q", foreign)
					}
				}
			})
		}
	}
}

// A login that began a moment before the code was asked for leaves ten minutes, as people count.
func TestMinutesOfACodeAreRounded(t *testing.T) {
	w := newWorld(t, mailtest.Config{}, "127.0.0.1")
	for i, tt := range []struct {
		valid time.Duration
		want  string
	}{
		{10*time.Minute - 50*time.Millisecond, "for 10 minutes: until 02/03/2026 at 13:39"},
		{6*time.Minute + 29*time.Second, "for 6 minutes: until 02/03/2026 at 13:36"},
	} {
		n := mail.Notice{Kind: mail.LoginCode, Language: "en", At: asked(), Source: "192.0.2.7", Code: "12345678", Valid: tt.valid}
		if err := w.sender(t).SendNotice(t.Context(), "jeanne@example.fr", n); err != nil {
			t.Fatal(err)
		}
		if m := w.server.Await(t, i+1); !strings.Contains(m.Text, tt.want) || !strings.Contains(m.HTML, tt.want) {
			t.Errorf("the message of a code for %v does not say %q:\n%s", tt.valid, tt.want, m.Text)
		}
	}
}

func TestLastRecoveryCodeIsSaidToBeTheLast(t *testing.T) {
	w := newWorld(t, mailtest.Config{}, "127.0.0.1")
	n := mail.Notice{Kind: mail.RecoveryUsed, Language: "fr", At: asked(), Left: 0} // by the support: no network address
	if err := w.sender(t).SendNotice(t.Context(), "jeanne@example.fr", n); err != nil {
		t.Fatal(err)
	}
	if m := w.server.Await(t, 1); !strings.Contains(m.Text, "Il ne vous en reste aucun") || !strings.Contains(m.Text, "Par le service d'assistance") {
		t.Errorf("the text does not say so:\n%s", m.Text)
	}
}

// Lesson D20: what a person or a browser said of itself is text in the message, and one line of it.
func TestD20NoticesEscape(t *testing.T) {
	const markup = "<a href=\"https://evil.example\">ici</a>\r\n\r\nVotre compte est bloqué"
	w := newWorld(t, mailtest.Config{}, "127.0.0.1")
	for i, n := range notices("fr") {
		n.Browser, n.Service, n.Name = markup, markup, markup
		if n.Source != "" {
			n.Source = "192.0.2.7\r\nBcc: x@evil.example"
		}
		if err := w.sender(t).SendNotice(t.Context(), "jeanne@example.fr", n); err != nil {
			t.Fatal(err)
		}
		m := w.server.Await(t, i+1)
		if strings.Contains(m.HTML, `href="https://evil`) || (n.Kind != mail.Invitation && !strings.Contains(m.HTML, "&lt;a href=")) {
			t.Errorf("%s: what a browser said is markup in the HTML:\n%s", n.Kind, m.HTML)
		}
		for line := range strings.Lines(m.Text) {
			if strings.HasPrefix(line, "Votre compte est bloqué") || strings.HasPrefix(line, "Bcc:") {
				t.Errorf("%s: a line of the text was written by somebody else: %q", n.Kind, line)
			}
		}
		if m.To != "jeanne@example.fr" || m.Header.Get("Bcc") != "" {
			t.Errorf("%s: to %q, header Bcc %q", n.Kind, m.To, m.Header.Get("Bcc"))
		}
	}
}

// Whoever prints a notice or fails to send it shows nothing of what is in it.
func TestNoticeIsNotPrintedByItsErrors(t *testing.T) {
	w := newWorld(t, mailtest.Config{}, "127.0.0.1")
	w.server.Refuse("jeanne@example.fr")
	err := w.sender(t).SendNotice(t.Context(), "jeanne@example.fr", notices("fr")[0])
	if !errors.Is(err, mail.ErrRefused) {
		t.Errorf("SendNotice = %v, want %v", err, mail.ErrRefused)
	}
	w.server.RefuseWith("jeanne@example.fr", 451)
	later := w.sender(t).SendNotice(t.Context(), "jeanne@example.fr", notices("fr")[0])
	if later == nil || errors.Is(later, mail.ErrRefused) {
		t.Errorf("SendNotice = %v, want an error that is not for ever", later)
	}
	if text := fmt.Sprint(err, later, notices("fr")[0].LogValue()); strings.Contains(text, "jeanne") || strings.Contains(text, "1234") {
		t.Errorf("shown: %s", text)
	}
}
