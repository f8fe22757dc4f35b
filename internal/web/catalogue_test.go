package web_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"promess/authgw/internal/web"
)

// texts reads a catalogue from its file, and fails when a key is there twice: encoding/json would keep the last.
func texts(t *testing.T, lang string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("texts", lang+".json"))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	all, key, isKey := map[string]string{}, "", true
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		s, ok := tok.(string)
		switch {
		case !ok: // the braces
		case isKey:
			if _, twice := all[s]; twice {
				t.Errorf("%s: %q twice", lang, s)
			}
			key, isKey = s, false
		default:
			all[key], isKey = s, true
		}
	}
}

var verb = regexp.MustCompile(`%[a-z]`)

func TestBothLanguagesSayTheSameThings(t *testing.T) {
	fr, en := texts(t, "fr"), texts(t, "en")
	for key, text := range fr {
		other, ok := en[key]
		if !ok {
			t.Errorf("%q is not in English", key)
			continue
		}
		if a, b := verb.FindAllString(text, -1), verb.FindAllString(other, -1); !slices.Equal(a, b) {
			t.Errorf("%q has the verbs %v in French, %v in English", key, a, b)
		}
	}
	for key, text := range en {
		if _, ok := fr[key]; !ok {
			t.Errorf("%q is not in French", key)
		}
		if strings.TrimSpace(text) == "" || strings.TrimSpace(fr[key]) == "" {
			t.Errorf("%q is empty", key)
		}
	}
}

// French typography: a no-break space before double punctuation (a narrow one before ; ! ?), a curly apostrophe.
func TestTextsAreSetRight(t *testing.T) {
	wrong := map[string]*regexp.Regexp{
		"fr": regexp.MustCompile(`['"]|\.\.\.|[^\x{00a0}]:|[^\x{202f}][;!?]|« | »`),
		"en": regexp.MustCompile(`['"]|\.\.\.|[ \x{00a0}\x{202f}][;:!?]`),
	}
	for lang, bad := range wrong {
		for key, text := range texts(t, lang) {
			if key == "method.psc.button" {
				continue // Pro Santé Connect says how it is written, to the letter: facts, "Button label, exactly"
			}
			if m := bad.FindString(text); m != "" {
				t.Errorf("%s: %q: %q in %q", lang, key, m, text)
			}
			if strings.Contains(text, "  ") || strings.TrimSpace(text) != text {
				t.Errorf("%s: %q has a space too many: %q", lang, key, text)
			}
		}
	}
}

// codes returns the words that the comment of a type in page.go lists after "one of:" or "word of the catalogue:".
func codes(t *testing.T, typeName string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "page.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	comment := ""
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE && g.Specs[0].(*ast.TypeSpec).Name.Name == typeName {
			comment = strings.Join(strings.Fields(g.Doc.Text()), " ")
		}
	}
	_, list, found := strings.Cut(comment, "one of: ")
	if !found {
		_, list, found = strings.Cut(comment, "word of the catalogue: ")
	}
	if !found {
		t.Fatalf("the comment of %s lists no codes: %q", typeName, comment)
	}
	list = regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(list, "")
	list, _, _ = strings.Cut(list, ".")
	var all []string
	for c := range strings.SplitSeq(list, ",") {
		all = append(all, strings.TrimSpace(c))
	}
	if len(all) < 10 {
		t.Fatalf("%s has only the codes %q", typeName, all)
	}
	return all
}

// reasons are those for which a card is refused.
var reasons = []string{
	"none", "expired", "not_yet_valid", "unknown_issuer", "test_card", "wrong_usage", "software_certificate", "revoked",
	"revocation_unknown", "unsupported_card_type", "malformed", "no_account", "account_disabled",
}

func TestEveryCodeHasItsTexts(t *testing.T) {
	want := map[string][]string{"error": codes(t, "ErrorPage"), "agent_error": codes(t, "AgentErrorPage")}
	for _, r := range reasons {
		want["error"] = append(want["error"], "card_"+r)
	}
	for _, lang := range []string{"fr", "en"} {
		all := texts(t, lang)
		for group, words := range want {
			for _, word := range words {
				for _, part := range []string{"title", "text", "action"} {
					if all[group+"."+word+"."+part] == "" {
						t.Errorf("%s: no %s.%s.%s", lang, group, word, part)
					}
				}
			}
			for key := range all {
				if rest, ok := strings.CutPrefix(key, group+"."); ok {
					if word, part, ok := strings.Cut(rest, "."); ok && !slices.Contains(words, word) {
						t.Errorf("%s: %s.%s.%s is for a code that does not exist", lang, group, word, part)
					}
				}
			}
		}
	}
}

func TestEachCodeShowsItsOwnTexts(t *testing.T) {
	p := pages(t, web.Site{})
	for _, lang := range []string{"fr", "en"} {
		all := texts(t, lang)
		seen := map[string]string{}
		for _, code := range append(codes(t, "ErrorPage"), "card_expired", "card_revoked", "card_not_yet_valid") {
			body := render(t, p, lang, 403, web.ErrorPage{Code: code}).Body.String()
			for _, part := range []string{"title", "text", "action"} {
				if want := all["error."+code+"."+part]; !strings.Contains(body, want) {
					t.Errorf("%s: %s does not show %q", lang, code, want)
				}
			}
			if other := seen[body]; other != "" {
				t.Errorf("%s: %s shows the page of %s", lang, code, other)
			}
			seen[body] = code
		}
	}
}

func TestUnknownCodeGivesTheGeneralText(t *testing.T) {
	p := pages(t, web.Site{})
	for _, code := range []string{"", "no_such_code", "card_", "what_to_do", "internal.title", "%s", "../x"} {
		body := render(t, p, "fr", 500, web.ErrorPage{Code: code}).Body.String()
		if !strings.Contains(body, texts(t, "fr")["error.internal.title"]) {
			t.Errorf("%q: not the general text", code)
		}
		body = render(t, p, "en", 500, web.AgentErrorPage{Code: code}).Body.String()
		if !strings.Contains(body, texts(t, "en")["agent_error.internal.title"]) {
			t.Errorf("agent, %q: not the general text", code)
		}
		for _, page := range []web.Page{
			web.LoginPage{Methods: []string{code}, Notice: code}, web.AgentStatusPage{Step: code},
			web.PortalPage{Person: web.Person{Name: code, Profession: code, CardType: code}},
		} {
			if w := render(t, p, "fr", http.StatusOK, page); w.Code != http.StatusOK {
				t.Errorf("%T with %q: status %d", page, code, w.Code)
			}
		}
	}
}

// The codes of IGC-Santé's table G15 that cards carry.
func TestEveryProfessionHasAName(t *testing.T) {
	for _, lang := range []string{"fr", "en"} {
		all := texts(t, lang)
		for _, code := range []int{
			10, 21, 26, 28, 31, 32, 35, 36, 37, 38, 39, 40, 50, 60, 69, 70, 80, 81, 82, 83, 84, 85, 86, 91, 92, 94, 95, 96, 98,
		} {
			if all["profession."+strconv.Itoa(code)] == "" {
				t.Errorf("%s: no profession %d", lang, code)
			}
		}
	}
}

func TestEveryAgentStepHasItsSentence(t *testing.T) {
	p := pages(t, web.Site{Agent: true})
	all := texts(t, "fr")
	for step, current := range map[string]string{"card": "card", "dialog": "pin", "pad": "pin", "signing": "signing", "sending": "sending"} {
		page := parse(t, render(t, p, "fr", 200, web.AgentStatusPage{Step: step}).Body.String())
		var now, said string
		for _, e := range page {
			if e.attr["aria-current"] == "step" {
				now += e.text
			}
			if e.attr["role"] == "status" {
				said = e.text
			}
		}
		if now != all["agent_status."+current] || said != all["agent_step."+step] {
			t.Errorf("%s: at %q, says %q", step, now, said)
		}
	}
}

// A reader's pad may have no display, and none says in French what another wrong PIN does.
func TestPadTellsOfAWrongPINAndOfTheLastTry(t *testing.T) {
	p := pages(t, web.Site{Agent: true})
	for _, lang := range []string{"fr", "en"} {
		all := texts(t, lang)
		for _, page := range []web.AgentStatusPage{{}, {Wrong: true}, {Last: true}, {Wrong: true, Last: true}} {
			page.Step = "pad"
			body := render(t, p, lang, 200, page).Body.String()
			if strings.Contains(body, all["agent_pin.wrong"]) != page.Wrong || strings.Contains(body, all["agent_pin.last"]) != page.Last {
				t.Errorf("%s: wrong %v, last %v; the page says:\n%s", lang, page.Wrong, page.Last, body)
			}
		}
	}
}

// Keys that a template makes from a word begin with one of these.
var madeKeys = regexp.MustCompile(`^(error|agent_error|told|client_refused_reason|device_problem|device_outcome|method|notice|unavailable|mode|profession|agent_step|agent_status|fact|problem|account_notice|level|reason|factor|enrol|passkey_problem|phone_end|time|month|otp_way|otp_problem|otp_code_problem|password_problem|invitation_problem|totp_problem|recovery_problem|wait_for)\.`)

func TestTemplatesAndCatalogueUseTheSameKeys(t *testing.T) {
	all := texts(t, "fr")
	used := map[string]bool{}
	files, err := filepath.Glob("templates/*.html")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\bt "([a-z_.]+)"`).FindAllSubmatch(b, -1) {
			used[string(m[1])] = true
			if all[string(m[1])] == "" {
				t.Errorf("%s: no text %q", f, m[1])
			}
		}
	}
	for key := range all {
		if !used[key] && !madeKeys.MatchString(key) {
			t.Errorf("no template uses %q", key)
		}
	}
}

// WCAG 2.2, success criteria 1.4.3 (text: 4.5) and 1.4.11 (edges of controls: 3), computed from the colours of the style.
func TestColoursHaveEnoughContrast(t *testing.T) {
	b, err := os.ReadFile("static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, found := strings.Cut(string(b), "@media (prefers-color-scheme: dark)")
	if !found {
		t.Fatal("no dark scheme")
	}
	for scheme, css := range map[string]string{"light": light, "dark": dark} {
		colour := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(css, -1) {
			colour[m[1]] = m[2]
		}
		check := func(a, b string, least float64) {
			if got := contrast(t, colour[a], colour[b]); got < least {
				t.Errorf("%s: %s on %s has contrast %.2f, want %.1f", scheme, a, b, got, least)
			}
		}
		for _, ground := range []string{"ground", "surface", "soft", "info-ground", "good-ground", "warn-ground", "bad-ground"} {
			check("text", ground, 4.5)
		}
		for _, ground := range []string{"ground", "surface", "soft"} {
			check("muted", ground, 4.5)
			check("accent", ground, 4.5)
			check("accent-strong", ground, 4.5)
			check("focus", ground, 3)
		}
		check("on-accent", "accent", 4.5)
		check("on-accent", "accent-strong", 4.5)
		check("edge", "surface", 3)
		check("bad-line", "surface", 3)
	}
}

// contrast is the ratio of WCAG 2.2 of two colours, written rrggbb.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	var c [3]uint8
	if _, err := fmt.Sscanf(colour, "%02x%02x%02x", &c[0], &c[1], &c[2]); err != nil {
		t.Fatalf("colour %q: %v", colour, err)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v := float64(c[i]) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}
