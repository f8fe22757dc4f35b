package web_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"promess/authgw/internal/web"
	"promess/authgw/internal/web/webtest"
)

// actions returns where the forms of a page lead, except the menu's.
func actions(all []element) []string {
	var found []string
	for _, e := range find(all, "form") {
		if e.within != "menu-box" {
			found = append(found, e.attr["action"])
		}
	}
	return found
}

func draw(t *testing.T, lang string, page web.Page) (string, []element) {
	t.Helper()
	body := render(t, pages(t, web.Site{}), lang, http.StatusOK, page).Body.String()
	return body, parse(t, body)
}

// What has no sample is looked at by no test, here or in a browser.
func TestEveryPageHasASample(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "page.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	sampled := map[string]bool{}
	for _, page := range webtest.Samples() {
		sampled[reflect.TypeOf(page).Name()] = true
	}
	n := 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "template" {
			continue
		}
		n++
		if name := f.Recv.List[0].Type.(*ast.Ident).Name; !sampled[name] {
			t.Errorf("%s has no sample", name)
		}
	}
	if n < 10 {
		t.Errorf("%d pages found in page.go", n)
	}
}

func TestEveryFormIsSentByPost(t *testing.T) {
	eachSample(t, func(t *testing.T, _, _ string, _ bool, all []element) {
		for _, e := range find(all, "form") {
			if e.attr["method"] != "post" {
				t.Errorf("form to %q by %q: what it asks for would be in the history and the logs", e.attr["action"], e.attr["method"])
			}
		}
	})
}

func TestMenuLeadsToServicesAccountAndOut(t *testing.T) {
	person := web.Person{Name: "Dr Jeanne Martin"}
	for name, c := range map[string]struct {
		origin string
		page   web.Page
	}{
		"on the auth host":     {"", web.RegisterPage{Person: person}},
		"on a service's host":  {"https://auth.example", web.ErrorPage{Code: "backend_down", Person: &person}},
		"while a code is read": {"", web.RegisterCodePage{Person: person}},
		"on the account":       {"", web.AccountPage{Person: person}},
	} {
		all := parse(t, render(t, pages(t, web.Site{Origin: c.origin}), "fr", 200, c.page).Body.String())
		var got []string
		for _, e := range all {
			if e.name == "a" && (e.text == "Mes services" || e.text == "Mon compte") || e.name == "form" && e.within == "menu-box" {
				got = append(got, e.attr["href"]+e.attr["action"])
			}
		}
		if len(got) > 3 { // the page has a link of its own to the services
			got = got[:3]
		}
		if want := []string{c.origin + "/", c.origin + "/account", "/logout"}; !slices.Equal(got, want) {
			t.Errorf("%s: the menu leads to %q, want %q", name, got, want)
		}
	}
}

func TestAddressFieldIsOneForAddresses(t *testing.T) {
	_, all := draw(t, "fr", web.RegisterPage{Action: "/a", Address: "jeanne@x", Problem: "malformed"})
	in := find(all, "input")
	if len(in) != 1 {
		t.Fatalf("%d inputs, want 1", len(in))
	}
	for attr, want := range map[string]string{"type": "email", "name": "address", "autocomplete": "email", "value": "jeanne@x", "aria-invalid": "true"} {
		if got := in[0].attr[attr]; got != want {
			t.Errorf("%s = %q, want %q", attr, got, want)
		}
	}
	if !strings.Contains(in[0].attr["aria-describedby"], "problem") {
		t.Error("who hears the field does not hear the problem")
	}
}

// WCAG 2.2, success criterion 3.3.8: a code can be filled in by the browser or pasted, with its spaces.
func TestCodeFieldTakesTheCodeHoweverItComes(t *testing.T) {
	for digits, want := range map[int]string{6: "{6}", 8: "{8}", 0: "{6}", 4711: "{6}"} {
		_, all := draw(t, "fr", web.RegisterCodePage{Action: "/a", Digits: digits})
		in := find(all, "input")
		if len(in) != 1 {
			t.Fatalf("%d inputs, want 1", len(in))
		}
		for attr, want := range map[string]string{
			"type": "text", "name": "code", "inputmode": "numeric", "autocomplete": "one-time-code", "pattern": `\s*([0-9]\s*)` + want,
		} {
			if got := in[0].attr[attr]; got != want {
				t.Errorf("%d digits: %s = %q, want %q", digits, attr, got, want)
			}
		}
		if _, ok := in[0].attr["value"]; ok {
			t.Error("the field has a value")
		}
	}
}

func TestProblemIsSaidInItsOwnWords(t *testing.T) {
	for _, lang := range []string{"fr", "en"} {
		all := texts(t, lang)
		for _, word := range []string{"malformed", "protected", "unsent"} {
			body, _ := draw(t, lang, web.RegisterPage{Action: "/a", Problem: word})
			if want := all["problem."+word]; want == "" || !strings.Contains(body, want) {
				t.Errorf("%s: the page of an address does not say %q", lang, word)
			}
		}
		for _, word := range []string{"wrong", "expired", "resent", "too_soon", "unsent"} {
			body, _ := draw(t, lang, web.RegisterCodePage{Action: "/a", Problem: word})
			if want := all["problem."+word]; want == "" || !strings.Contains(body, want) {
				t.Errorf("%s: the page of a code does not say %q", lang, word)
			}
		}
		for _, word := range []string{"address_changed", "session_ended", "sessions_ended", "factor_removed"} {
			body, _ := draw(t, lang, web.AccountPage{Notice: word})
			if want := all["account_notice."+word]; want == "" || !strings.Contains(body, want) {
				t.Errorf("%s: the account does not say %q", lang, word)
			}
		}
	}
}

func TestTriesAreSaidAfterAWrongCodeOnly(t *testing.T) {
	for name, c := range map[string]struct {
		problem string
		tries   int
		want    string
	}{
		"several left":      {"wrong", 3, "Il vous reste 3 essais"},
		"one left":          {"wrong", 1, "Il vous reste un seul essai"},
		"not told":          {"wrong", 0, ""},
		"nonsense":          {"wrong", -1, ""},
		"another problem":   {"resent", 3, ""},
		"no problem so far": {"", 3, ""},
	} {
		body, _ := draw(t, "fr", web.RegisterCodePage{Action: "/a", Problem: c.problem, Tries: c.tries})
		if got := strings.Contains(body, "Il vous reste"); got != (c.want != "") || !strings.Contains(body, c.want) {
			t.Errorf("%s: said %v, want %q", name, got, c.want)
		}
	}
}

func TestFormIsOfferedOnlyWhereThereIsAnAction(t *testing.T) {
	for name, c := range map[string]struct {
		page web.Page
		want []string
	}{
		"no action at all":         {web.AccountPage{Sessions: make([]web.SessionInfo, 1), Factors: make([]web.FactorInfo, 1)}, nil},
		"the address":              {web.AccountPage{AddressAction: "/a"}, []string{"/a"}},
		"one session, and all":     {web.AccountPage{Sessions: []web.SessionInfo{{End: "/a"}}, EndAll: "/b"}, []string{"/a", "/b"}},
		"a factor":                 {web.AccountPage{Factors: []web.FactorInfo{{Remove: "/a"}, {}}}, []string{"/a"}},
		"another host":             {web.AccountPage{AddressAction: "//evil.example", EndAll: "https://evil.example/"}, nil},
		"an address without later": {web.RegisterPage{Action: "/a"}, []string{"/a"}},
		"an address, or later":     {web.RegisterPage{Action: "/a", Later: "/b"}, []string{"/a", "/b"}},
		"a code alone":             {web.RegisterCodePage{Action: "/a"}, []string{"/a"}},
		"a code, again, back":      {web.RegisterCodePage{Action: "/a", Resend: "/b", Change: "/c"}, []string{"/a", "/b", "/c"}},
	} {
		if _, all := draw(t, "fr", c.page); !slices.Equal(actions(all), c.want) {
			t.Errorf("%s: forms to %q, want %q", name, actions(all), c.want)
		}
	}
}

// A screen reader that lists the buttons of a page reads their texts alone.
func TestButtonsOfTheAccountCanBeToldApart(t *testing.T) {
	for _, lang := range []string{"fr", "en"} {
		body, _ := draw(t, lang, webtest.Samples()["account"])
		for _, part := range strings.Split(body, "<li class=\"entry\">")[1:] {
			if _, button, found := strings.Cut(part, "<button"); found && !strings.Contains(button, `<span class="out">`) {
				t.Errorf("%s: a button does not say what it is about: %s", lang, part)
			}
		}
	}
}

func TestFactsAreInWords(t *testing.T) {
	body, all := draw(t, "fr", web.RegisteredPage{Facts: []web.Fact{
		{Label: "profession", Value: "60"}, {Label: "profession", Value: "Infirmière en pratique avancée"}, {Label: "shoe size", Value: "60"}, {Label: "mailbox", Value: "a@b.example"},
	}})
	var labels []string
	for _, e := range find(all, "dt") {
		labels = append(labels, e.text)
	}
	if want := []string{"Profession", "Profession", "shoe size", "Boîte MSSanté"}; !slices.Equal(labels, want) {
		t.Errorf("labels %q, want %q", labels, want)
	}
	for _, want := range []string{"<dd>Infirmier</dd>", "<dd>Infirmière en pratique avancée</dd>", "<dd>60</dd>", "<dd>a@<wbr>b.example</dd>"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in:\n%s", want, body)
		}
	}
}

func TestLoginsSayWhatHappened(t *testing.T) {
	all := texts(t, "fr")
	for name, c := range map[string]struct {
		login     web.LoginInfo
		want, not string
	}{
		"a success":                   {web.LoginInfo{Success: true, Reason: "expired"}, "Réussie", all["error.card_expired.title"]},
		"a card that was refused":     {web.LoginInfo{Method: "card", Reason: "revoked"}, all["error.card_revoked.title"], "Réussie"},
		"no account":                  {web.LoginInfo{Method: "psc", Reason: "account_ambiguous"}, all["error.account_ambiguous.title"], "Réussie"},
		"a reason of another method":  {web.LoginInfo{Method: "otp", Reason: "wrong_code"}, "Code faux", "Réussie"},
		"a reason that nobody knows":  {web.LoginInfo{Reason: "eaten by the dog"}, "Refusée", "eaten"},
		"a method that nobody knows":  {web.LoginInfo{Method: "fax", Success: true}, "Autre moyen", "fax"},
		"a browser that nobody knows": {web.LoginInfo{Success: true}, "Navigateur inconnu", "Refusée"},
	} {
		body, _ := draw(t, "fr", web.AccountPage{Logins: []web.LoginInfo{c.login}})
		if !strings.Contains(body, c.want) || strings.Contains(body, c.not) {
			t.Errorf("%s: %q is there: %v; %q is there: %v", name, c.want, strings.Contains(body, c.want), c.not, strings.Contains(body, c.not))
		}
	}
}

func TestServicesAreDrawnInTheirOrder(t *testing.T) {
	_, all := draw(t, "fr", web.PortalPage{Services: []web.PortalService{
		{Name: "z", Title: "Zèbre", URL: "https://z.example/", Logo: "/logos/z.svg"}, {Name: "agenda", URL: "https://a.example/"}, {Title: "élan", URL: "https://e.example/", Logo: "https://evil.example/x.svg"},
	}})
	var got []string
	for _, e := range all {
		switch e.attr["class"] {
		case "service-title", "logo letter":
			got = append(got, e.text)
		case "logo":
			got = append(got, e.attr["src"])
		}
	}
	if want := []string{"/logos/z.svg", "Zèbre", "A", "agenda", "É", "élan"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestErrorButtonSaysWhereItLeads(t *testing.T) {
	for code, want := range map[string]string{
		"service_not_allowed": "Voir mes services", "level_too_low": "Se connecter autrement", "register_needed": "Enregistrer mon adresse", "internal": "Réessayer",
	} {
		_, all := draw(t, "fr", web.ErrorPage{Code: code, RetryURL: "/x"})
		var got []string
		for _, e := range find(all, "a") {
			if strings.Contains(e.attr["class"], "button") {
				got = append(got, e.text)
			}
		}
		if !slices.Equal(got, []string{want}) {
			t.Errorf("%s: buttons %q, want %q", code, got, want)
		}
	}
}
