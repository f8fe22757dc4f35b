package web

import (
	"net/http"
	"strconv"
	"strings"
)

// languages that the pages speak; the first is for those who ask for none of them.
var languages = [...]string{"fr", "en"}

const languageCookie = "__Host-lang"

// maxLanguageHeader bounds the work that a header can ask for.
const maxLanguageHeader = 1000

// chooseLanguage returns the language that r asks for: by ?lang=, which is remembered in a cookie, by that cookie, or by the
// browser's preferences. The result is always one of languages, never a text of the request.
func (p *Pages) chooseLanguage(w http.ResponseWriter, r *http.Request) string {
	if p.site.Agent {
		return preferredLanguage(r.Header.Get("Accept-Language"))
	}
	if lang := known(r.URL.Query().Get("lang")); lang != "" {
		http.SetCookie(w, &http.Cookie{
			Name: languageCookie, Value: lang, Path: "/", MaxAge: 365 * 24 * 3600,
			Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
		return lang
	}
	return p.Language(r)
}

// Language returns the language of the pages that the browser of r gets, for a message to the same person.
func (p *Pages) Language(r *http.Request) string {
	if c, err := r.Cookie(languageCookie); err == nil && !p.site.Agent && known(c.Value) != "" {
		return known(c.Value)
	}
	return preferredLanguage(r.Header.Get("Accept-Language"))
}

// Prefer remembers, while the browser is open, the first language that the pages know of tags separated by spaces, in a browser that has
// chosen none: a service has asked for it (OpenID Connect Core 1.0, section 3.1.2.1, ui_locales). The answer to r is in it too.
func (p *Pages) Prefer(w http.ResponseWriter, r *http.Request, tags string) {
	if c, err := r.Cookie(languageCookie); err == nil && known(c.Value) != "" {
		return
	}
	for tag := range strings.FieldsSeq(tags) {
		if lang := known(tag); lang != "" {
			c := &http.Cookie{Name: languageCookie, Value: lang, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
			http.SetCookie(w, c)
			r.AddCookie(c)
			return
		}
	}
}

// otherLanguage returns the language that the page offers to change to, and the request that the link names too. The link is "?lang=…", so it
// is offered only where it loses nothing: the page was asked for by GET, with no other query than the handle of the request that it shows, or
// is that of the login.
func (p *Pages) otherLanguage(lang string, r *http.Request, page Page) (other, request string) {
	q := r.URL.RawQuery
	if _, ok := page.(LoginPage); ok && r.URL.Path == "/login" {
		q = "" // where the person wanted to go is in a cookie by now
	}
	if a, ok := page.(asking); ok && a.request() != "" {
		if rest, ok := strings.CutPrefix(q, "request="+a.request()); ok && (rest == "" || rest[0] == '&') {
			q, request = strings.TrimPrefix(rest, "&"), a.request()
		}
	}
	if p.site.Agent || r.Method != http.MethodGet || (q != "" && known(strings.TrimPrefix(q, "lang=")) == "") {
		return "", ""
	}
	if lang == languages[0] {
		return languages[1], request
	}
	return languages[0], request
}

// known returns our own constant for a language tag such as "fr" or "fr-FR", or an empty string.
func known(tag string) string {
	primary, _, _ := strings.Cut(strings.TrimSpace(tag), "-")
	for _, l := range languages {
		if strings.EqualFold(primary, l) {
			return l
		}
	}
	return ""
}

// preferredLanguage reads an Accept-Language header: the known language of the highest weight, the earlier of equals.
// RFC 9110, section 12.5.4.
func preferredLanguage(header string) string {
	best, weight := languages[0], 0.0
	if len(header) > maxLanguageHeader {
		return best
	}
	for item := range strings.SplitSeq(header, ",") {
		tag, params, _ := strings.Cut(item, ";")
		lang, q := known(tag), quality(params)
		if lang != "" && q > weight {
			best, weight = lang, q
		}
	}
	return best
}

// quality returns the weight of an Accept-Language item from its parameters: 1 when there is none, 0 when it is not a weight.
func quality(params string) float64 {
	name, value, found := strings.Cut(strings.TrimSpace(params), "=")
	if !found {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !strings.EqualFold(strings.TrimSpace(name), "q") || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}
