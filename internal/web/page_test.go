package web_test

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/web"
	"promess/authgw/internal/web/webtest"
)

// element is an element of a page, with the text that is directly in it.
type element struct {
	name   string
	attr   map[string]string
	text   string
	within string // class of the element around it
}

// parse reads a page with a parser that is not html/template's, and fails on tags that do not match. Our templates are written
// so that encoding/xml, told about void elements, can read them.
func parse(t *testing.T, page string) []element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, append([]string{"wbr"}, xml.HTMLAutoClose...), xml.HTMLEntity
	var all []element
	var open []int // of all, the outermost first
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("not well formed: %v\n%s", err, page)
		}
		switch x := token.(type) {
		case xml.StartElement:
			e := element{name: x.Name.Local, attr: map[string]string{}}
			for _, a := range x.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			if len(open) > 0 {
				e.within = all[open[len(open)-1]].attr["class"]
			}
			open = append(open, len(all))
			all = append(all, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				all[open[len(open)-1]].text += string(x)
			}
		}
	}
}

// find returns the elements of a name.
func find(all []element, name string) []element {
	var found []element
	for _, e := range all {
		if e.name == name {
			found = append(found, e)
		}
	}
	return found
}

// eachSample renders every page in both languages, as the program shows it that owns it.
func eachSample(t *testing.T, f func(t *testing.T, name, lang string, agent bool, all []element)) {
	for name, page := range webtest.Samples() {
		agent := strings.HasPrefix(name, "agent")
		p := pages(t, web.Site{Agent: agent, SupportPhone: "01 23 45 67 89", SupportMail: "aide@example.org"})
		for _, lang := range []string{"fr", "en"} {
			t.Run(name+" "+lang, func(t *testing.T) {
				w := render(t, p, lang, http.StatusOK, page)
				if w.Code != http.StatusOK {
					t.Fatalf("status %d, want 200: %s", w.Code, w.Body)
				}
				f(t, name, lang, agent, parse(t, w.Body.String()))
			})
		}
	}
}

func TestEveryPageHasTheStructureThatScreenReadersNeed(t *testing.T) {
	eachSample(t, func(t *testing.T, _, lang string, _ bool, all []element) {
		for _, want := range []string{"html", "title", "header", "main", "footer", "h1"} {
			if n := len(find(all, want)); n != 1 {
				t.Errorf("%d elements %q, want 1", n, want)
			}
		}
		if got := find(all, "html")[0].attr["lang"]; got != lang {
			t.Errorf("lang = %q, want %q", got, lang)
		}
		if title := find(all, "title")[0].text; !strings.HasSuffix(title, " – ProMess") || strings.HasPrefix(title, " ") {
			t.Errorf("title = %q", title)
		}
		level := 0
		for _, e := range all {
			if len(e.name) == 2 && e.name[0] == 'h' && e.name[1] >= '1' && e.name[1] <= '6' {
				if next := int(e.name[1] - '0'); next > level+1 {
					t.Errorf("heading %q follows level %d", e.name, level)
				} else {
					level = next
				}
			}
		}
	})
}

func TestEveryReferenceOnAPageHasItsTarget(t *testing.T) {
	eachSample(t, func(t *testing.T, _, _ string, _ bool, all []element) {
		ids := map[string]bool{}
		for _, e := range all {
			if id := e.attr["id"]; id != "" && ids[id] {
				t.Errorf("id %q twice", id)
			}
			ids[e.attr["id"]] = true
		}
		labelled := map[string]bool{}
		for _, e := range all {
			for _, name := range []string{"for", "aria-labelledby", "aria-describedby"} {
				for ref := range strings.FieldsSeq(e.attr[name]) {
					if !ids[ref] {
						t.Errorf("%s=%q refers to nothing", name, ref)
					}
				}
			}
			labelled[e.attr["for"]] = true
		}
		for _, e := range find(all, "input") {
			if !labelled[e.attr["id"]] {
				t.Errorf("input %q has no label", e.attr["name"])
			}
		}
	})
}

// Lesson G8: nothing inline, so that the policy needs no exception.
func TestNoPageHasInlineCodeOrStyle(t *testing.T) {
	eachSample(t, func(t *testing.T, _, _ string, agent bool, all []element) { checkInert(t, agent, all) })
}

// checkInert fails for anything on a page that could run, or load from elsewhere.
func checkInert(t *testing.T, agent bool, all []element) {
	t.Helper()
	for _, e := range all {
		switch e.name {
		case "iframe": // of a sign-out: cannot take the place of the page, open another, or send a form
			if !strings.HasPrefix(e.attr["src"], "https://") || e.attr["sandbox"] != "allow-scripts allow-same-origin" {
				t.Errorf("frame %v", e.attr)
			}
		case "style", "object", "embed", "base", "math", "template":
			t.Errorf("element %q", e.name)
		case "img":
			if src := e.attr["src"]; !strings.HasPrefix(src, "/") || strings.HasPrefix(src, "//") || e.attr["alt"] != "" {
				t.Errorf("image %v, want one of this host, which says nothing that the text does not", e.attr)
			}
		case "script":
			if agent || !strings.HasPrefix(e.attr["src"], web.AssetsPath) || strings.TrimSpace(e.text) != "" {
				t.Errorf("script %v %q", e.attr, e.text)
			}
		case "link":
			if !strings.HasPrefix(e.attr["href"], web.AssetsPath) {
				t.Errorf("link to %q", e.attr["href"])
			}
		}
		for name, value := range e.attr {
			if name == "style" || strings.HasPrefix(name, "on") {
				t.Errorf("attribute %s=%q on %q", name, value, e.name)
			}
			if name == "href" || name == "action" || name == "src" || name == "formaction" {
				checkAddress(t, e.name, value)
			}
		}
	}
}

func checkAddress(t *testing.T, element, address string) {
	t.Helper()
	scheme, _, found := strings.Cut(address, ":")
	if !found || strings.Contains(scheme, "/") || strings.HasPrefix(scheme, "?") || strings.HasPrefix(scheme, "#") {
		return // a path, a query or a fragment
	}
	switch scheme {
	case "http", "https", "mailto", "tel", web.AgentScheme:
	default:
		t.Errorf("address %q on %q", address, element)
	}
}

// attacks are texts that leave their place where a page does not escape them.
var attacks = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`' onmouseover='alert(1)`,
	`javascript:alert(1)`,
	` JaVaScRiPt:alert(1)`,
	"java\tscript:alert(1)",
	`data:text/html,<script>alert(1)</script>`,
	`vbscript:msgbox(1)`,
	`authgw-agent:"onclick=alert(1)`,
	`//evil.example/`,
	`/\evil.example/`,
	`https://user@evil.example/"onclick="alert(1)`,
	`</title></textarea></noscript><svg onload=alert(1)>`,
	`{{.Site}}`,
	"\x00\xff\u202e",
}

// fill puts s into every string of a page, two elements into every list, and a time into every time.
func fill(v reflect.Value, s string) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2026, time.March, 1, 13, 5, 0, 0, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), s)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), s)
		fill(v.Index(1), s)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), s)
	case reflect.Bool:
		v.SetBool(true)
	}
}

// everyKind returns one page of each type, with s in all its strings.
func everyKind(s string) []web.Page {
	var all []web.Page
	seen := map[reflect.Type]bool{}
	for _, sample := range webtest.Samples() {
		typ := reflect.TypeOf(sample)
		if seen[typ] {
			continue
		}
		seen[typ] = true
		v := reflect.New(typ)
		fill(v.Elem(), s)
		all = append(all, v.Elem().Interface().(web.Page))
	}
	return all
}

// Lesson G8: texts that come from cards, configuration and errors are escaped, and cannot become a link that runs a script.
func TestAttackInEveryFieldStaysText(t *testing.T) {
	for _, attack := range attacks {
		for _, agent := range []bool{false, true} {
			p := pages(t, web.Site{Name: attack, SupportPhone: attack, SupportMail: attack, Agent: agent})
			for _, page := range everyKind(attack) {
				w := render(t, p, "fr", http.StatusOK, page)
				if w.Code != http.StatusOK {
					t.Errorf("%T with %q: status %d", page, attack, w.Code)
				}
				if attack == attacks[len(attacks)-1] {
					continue // not XML, but no tag either
				}
				all := parse(t, w.Body.String())
				checkInert(t, agent, all)
				for _, e := range all {
					if strings.Contains(e.attr["href"]+e.attr["action"]+e.attr["src"], "evil.example") {
						t.Errorf("%T with %q: leads to %v", page, attack, e.attr)
					}
				}
			}
		}
	}
}

func FuzzEveryFieldStaysText(f *testing.F) {
	for _, attack := range attacks {
		f.Add(attack)
	}
	p, err := web.NewPages(web.Site{Name: "ProMess"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, page := range everyKind(s) {
			w := render(t, p, "en", http.StatusOK, page)
			if w.Code != http.StatusOK {
				t.Fatalf("%T: status %d", page, w.Code)
			}
			if strings.ContainsFunc(s, func(r rune) bool { return r == '\ufffd' || (r < 0x20 && r != '\n') || r >= 0xfffe && r <= 0xffff }) {
				continue // encoding/xml refuses such characters; the other tests read the page as it is
			}
			checkInert(t, false, parse(t, w.Body.String()))
		}
	})
}

func TestDangerousAddressGivesNoLinkAtAll(t *testing.T) {
	p := pages(t, web.Site{})
	for _, address := range []string{"javascript:alert(1)", "//evil.example", `/\evil.example`, "https://a@b.example/", "ftp://a.example/", "https:///x", "x", "/a\nb"} {
		for _, page := range []web.Page{
			web.ErrorPage{Code: "internal", RetryURL: address},
			web.AgentErrorPage{Code: "internal", RetryURL: address},
		} {
			for _, e := range find(parse(t, render(t, p, "fr", 500, page).Body.String()), "a") {
				if strings.Contains(e.attr["class"], "button") {
					t.Errorf("%T: %q gives a button that leads to %q", page, address, e.attr["href"])
				}
			}
		}
	}
}

// G9: a form of another host is refused, so each host signs out by itself.
func TestSignOutIsAFormThatPostsToItsOwnHost(t *testing.T) {
	for origin, want := range map[string]string{"": "/logout", "https://auth.example:8443": "/.authgw/logout"} {
		site := web.Site{Origin: origin}
		if origin != "" {
			site.SignOut = want
		}
		p := pages(t, site)
		w := render(t, p, "fr", http.StatusOK, webtest.Samples()["portal"])
		forms := find(parse(t, w.Body.String()), "form")
		if len(forms) != 1 || forms[0].attr["action"] != want || forms[0].attr["method"] != "post" {
			t.Errorf("origin %q: forms %v, want one post to %q", origin, forms, want)
		}
		for _, text := range []string{"Dr Jeanne Martin", "Médecin", "Carte CPS", "Se déconnecter"} {
			if !strings.Contains(w.Body.String(), text) {
				t.Errorf("origin %q: no %q", origin, text)
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); origin != "" && !strings.Contains(csp, "form-action 'self' "+origin+";") {
			t.Errorf("policy does not let the form reach %q: %s", origin, csp)
		}
	}
}

func TestAgentShowsNoMenu(t *testing.T) {
	p := pages(t, web.Site{Agent: true})
	body := render(t, p, "fr", 500, web.ErrorPage{Code: "internal", Person: &web.Person{Name: "Dr Jeanne Martin"}}).Body.String()
	if strings.Contains(body, "Jeanne") || len(find(parse(t, body), "form")) != 0 {
		t.Errorf("a menu: %s", body)
	}
}

func TestCardFormOpensItsOwnTab(t *testing.T) {
	w := render(t, pages(t, web.Site{}), "fr", http.StatusOK, web.LoginPage{Methods: []string{"card", "psc", "no such method"}})
	forms := find(parse(t, w.Body.String()), "form")
	if len(forms) != 2 {
		t.Fatalf("%d forms, want 2", len(forms))
	}
	want := map[string]string{"method": "post", "action": "/login/card", "target": "_blank", "rel": "noopener", "data-wait": "/login/card/wait"}
	if !reflect.DeepEqual(forms[0].attr, want) {
		t.Errorf("card form %v, want %v", forms[0].attr, want)
	}
	if want := map[string]string{"method": "post", "action": "/login/psc"}; !reflect.DeepEqual(forms[1].attr, want) {
		t.Errorf("psc form %v, want %v", forms[1].attr, want)
	}
}

func TestPINFieldTakesTheDigitsOfTheCard(t *testing.T) {
	for name, c := range map[string]struct {
		min, max              int
		least, most, patterns string
	}{
		"CPS":                  {4, 4, "4", "4", "[0-9]{4,4}"},
		"PIV":                  {4, 8, "4", "8", "[0-9]{4,8}"},
		"a card without limit": {0, 0, "4", "16", "[0-9]{4,16}"},
		"a card with nonsense": {8, 4, "4", "16", "[0-9]{4,16}"},
	} {
		page := web.AgentPINPage{Action: "/pin/x", Min: c.min, Max: c.max}
		in := find(parse(t, render(t, pages(t, web.Site{Agent: true}), "fr", 200, page).Body.String()), "input")
		if len(in) != 1 {
			t.Fatalf("%s: %d inputs, want 1", name, len(in))
		}
		for attr, want := range map[string]string{
			"type": "password", "name": "pin", "inputmode": "numeric", "autocomplete": "off",
			"minlength": c.least, "maxlength": c.most, "pattern": c.patterns,
		} {
			if got := in[0].attr[attr]; got != want {
				t.Errorf("%s: %s = %q, want %q", name, attr, got, want)
			}
		}
		for _, attr := range []string{"autofocus", "required"} {
			if _, ok := in[0].attr[attr]; !ok {
				t.Errorf("%s: no %s", name, attr)
			}
		}
		if _, ok := in[0].attr["value"]; ok {
			t.Errorf("%s: the field has a value", name)
		}
	}
}

func TestLastTryIsSaidOnlyWhenItIsTheLast(t *testing.T) {
	p := pages(t, web.Site{Agent: true})
	for _, last := range []bool{false, true} {
		body := render(t, p, "fr", 200, web.AgentPINPage{Action: "/x", Min: 4, Max: 4, Last: last}).Body.String()
		if got := strings.Contains(body, "Dernier essai"); got != last {
			t.Errorf("last %v: said %v", last, got)
		}
	}
}

func TestSupportCodeIsCutIntoGroups(t *testing.T) {
	for code, want := range map[string]string{
		"K7QM2X9D": "K7QM 2X9D", "482913": "482 913", "ABCDE": "ABC DE", "AB-CD-EF": "AB CD EF", "ABCDEFGHIJ": "ABCD EFG HIJ", "": "",
	} {
		all := parse(t, render(t, pages(t, web.Site{}), "fr", 500, web.ErrorPage{Code: "internal", Support: code}).Body.String())
		var groups []string
		for _, e := range find(all, "span") {
			if e.within == "code" {
				groups = append(groups, e.text)
			}
		}
		if got := strings.Join(groups, " "); got != want {
			t.Errorf("%q is shown as %q, want %q", code, got, want)
		}
	}
}
