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

// languageOf returns the one of the languages that a word asks for.
func languageOf(word string) string {
	if word == languages[1] {
		return languages[1]
	}
	return languages[0]
}

// messages are the templates of all kinds of messages by language.
type messages map[string]words

type words struct {
	text *text.Template
	html *html.Template
}

func parseMessages() (messages, error) {
	all := messages{}
	for _, lang := range languages {
		t, err := text.ParseFS(templates, "templates/*."+lang+".txt")
		if err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
		h, err := html.ParseFS(templates, "templates/*."+lang+".html")
		if err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
		all[lang] = words{t, h}
	}
	return all, nil
}

// addressCode is the kind of an AddressCode. No notice has it: the person waits.
const addressCode Kind = "address_code"

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
	Code, At, Until, Source, Browser, Service string
	Minutes, Hours, Left                      int
	Factor, Name, NewAddress                  string
	Link                                      string
	Product, Origin                           string
	SupportPhone, SupportMail                 string

	path string // of Link
}

// SendAddressCode sends a code to the address that it proves, while the person waits.
func (s *Sender) SendAddressCode(ctx context.Context, to string, c AddressCode) error {
	lang := languageOf(c.Language)
	return s.write(ctx, to, addressCode, lang, view{
		Code: c.Code, At: moment(c.Asked, lang), Source: c.Source, Browser: c.Browser, Minutes: c.Minutes,
	})
}

// SendNotice sends a notice, once. ErrRefused: the server takes it neither now nor later.
func (s *Sender) SendNotice(ctx context.Context, to string, n Notice) error {
	if err := n.Check(); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	lang := languageOf(n.Language)
	return s.write(ctx, to, n.Kind, lang, n.view(lang))
}

// write sends a message of a kind.
func (s *Sender) write(ctx context.Context, to string, k Kind, lang string, v view) error {
	for _, outside := range []*string{&v.Code, &v.Source, &v.Browser, &v.Service, &v.Name} {
		*outside = oneLine(*outside)
	}
	v.Product, v.Origin, v.Link = s.config.Product, s.config.Origin, s.config.Origin+v.path
	v.SupportPhone, v.SupportMail = s.config.SupportPhone, s.config.SupportMail
	var text, html bytes.Buffer
	if err := s.messages[lang].text.ExecuteTemplate(&text, string(k)+"."+lang+".txt", v); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	if err := s.messages[lang].html.ExecuteTemplate(&html, string(k)+"."+lang+".html", v); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	return s.send(ctx, to, message{subject: s.config.Product + colon(lang) + subject(k, lang), text: text.String(), html: html.String()})
}

// colon is one as each language sets it.
func colon(lang string) string {
	if lang == "en" {
		return ": "
	}
	return " : "
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
