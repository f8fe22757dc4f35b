package web

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed texts/*.json
var textFiles embed.FS

// catalogue is the texts of one language, by key.
type catalogue map[string]string

func loadCatalogue(lang string) (catalogue, error) {
	b, err := textFiles.ReadFile("texts/" + lang + ".json")
	if err != nil {
		return nil, err
	}
	var c catalogue
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("texts in %q: %w", lang, err)
	}
	return c, nil
}

// text returns the text of a key, with args in the places of its verbs. An unknown key is an error of a template: the tests
// look for them all.
func (c catalogue) text(key string, args ...any) (string, error) {
	s, ok := c[key]
	if !ok {
		return "", fmt.Errorf("no text %q", key)
	}
	if len(args) == 0 {
		return s, nil
	}
	return fmt.Sprintf(s, args...), nil
}

// optional returns the text of the key made of group and word, or an empty string where there is none: for words that come
// from a card or from a program, which may know more of them than the catalogue does.
func (c catalogue) optional(group, word string) string { return c[group+"."+word] }

// code returns word when group has a text for it, and else the word of the general error. So a code that nobody thought of
// still gives a page.
func (c catalogue) code(group, word string) string {
	if _, ok := c[group+"."+word+".title"]; ok {
		return word
	}
	return "internal"
}

// level returns the words for a level of assurance, a URN of which the last part counts, or an empty string.
func (c catalogue) level(acr string) string {
	return c.optional("level", acr[strings.LastIndex(acr, ":")+1:])
}

// reason returns the words for the reason of a refused login, or an empty string. Where the error page of that reason has a
// title, it is the title.
func (c catalogue) reason(word string) string {
	return cmp.Or(c["reason."+word], c["error.card_"+word+".title"], c["error."+word+".title"])
}
