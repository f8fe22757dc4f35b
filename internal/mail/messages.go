package mail

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	html "html/template"
	"strings"
	text "text/template"
	"time"
	"unicode"
)

//go:embed templates
var templates embed.FS

// languages of the messages; the first is for whoever asks for another.
var languages = [...]string{"fr", "en"}

// messages are the templates of one kind of message by language.
type messages map[string]struct {
	text *text.Template
	html *html.Template
}

func parseMessages() (messages, error) {
	all := messages{}
	for _, lang := range languages {
		t, err := text.ParseFS(templates, "templates/address_code."+lang+".txt")
		if err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
		h, err := html.ParseFS(templates, "templates/address_code."+lang+".html")
		if err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
		m := all[lang]
		m.text, m.html = t, h
		all[lang] = m
	}
	return all, nil
}

// AddressCode is the message that carries a code to an address that is to be proved. It says enough for a person who did not ask for it
// to know what happened.
type AddressCode struct {
	Language string // fr or en
	Code     string
	Minutes  int       // for which it is good
	Asked    time.Time // when the code was asked for
	Source   string    // network address that asked
	Browser  string    // its short name; may be empty
}

// view is the dot of the templates.
type view struct {
	Code, Asked, Source, Browser string
	Minutes                      int
	Product, Origin              string
	SupportPhone, SupportMail    string
}

// SendAddressCode sends a code to the address that it proves.
func (s *Sender) SendAddressCode(ctx context.Context, to string, c AddressCode) error {
	lang := languages[0]
	if c.Language == languages[1] {
		lang = languages[1]
	}
	v := view{
		Code: oneLine(c.Code), Asked: moment(c.Asked, lang), Source: oneLine(c.Source), Browser: oneLine(c.Browser), Minutes: c.Minutes,
		Product: s.config.Product, Origin: s.config.Origin, SupportPhone: s.config.SupportPhone, SupportMail: s.config.SupportMail,
	}
	var text, html bytes.Buffer
	if err := s.messages[lang].text.Execute(&text, v); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	if err := s.messages[lang].html.Execute(&html, v); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	subject := map[string]string{
		"fr": "Votre code pour vérifier votre adresse e-mail",
		"en": "Your code to verify your e-mail address",
	}[lang]
	return s.send(ctx, to, message{subject: s.config.Product + " : " + subject, text: text.String(), html: html.String()})
}

// oneLine keeps what came from outside from looking like lines of ours in the part that is text.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// moment writes a time for people in France.
func moment(t time.Time, lang string) string {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		paris = time.UTC // unreachable: package web has the zones in the program
	}
	if lang == "en" {
		return t.In(paris).Format("02/01/2006 at 15:04 (MST)")
	}
	return t.In(paris).Format("02/01/2006 à 15 h 04 (MST)")
}
