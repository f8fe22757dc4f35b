package web

import (
	"html/template"
	"strings"
	"time"
	"unicode"

	"promess/authgw/internal/qrcode"
)

// functions are what the templates can call, in the language of c and the time of zone.
func functions(c catalogue, a *assets, zone *time.Location) template.FuncMap {
	return template.FuncMap{
		"t":         c.text,
		"optional":  c.optional,
		"asset":     a.url,
		"link":      link,
		"local":     localPath,
		"agentURL":  agentURL,
		"clientURL": clientURL,
		"frame":     frame,
		"phoneURL":  phoneURL,
		"mailURL":   mailURL,
		"groups":    groups,
		"steps":     steps,
		"stepState": stepState,
		"digits":    pinDigits,
		"initials":  initials,
		"initial":   initial,
		"breaks":    breaks,
		"code":      c.code,
		"level":     c.level,
		"reason":    c.reason,
		"when":      func(t time.Time) *moment { return c.moment(t, time.Now(), zone) },
		"dated":     func(t time.Time) *moment { return c.moment(t, time.Time{}, zone) }, // for paper, which is read on another day
		"codeSize":  codeSize,
		"wait":      c.wait,
		"quads":     quads,
		"qr":        drawQR,
	}
}

// groups cuts a support code into parts that are easy to read aloud: at its own separators, else every four characters.
func groups(code string) []string {
	parts := strings.FieldsFunc(code, func(r rune) bool { return r == '-' || unicode.IsSpace(r) })
	if len(parts) != 1 {
		return parts
	}
	var out []string
	for rest := []rune(parts[0]); len(rest) > 0; {
		n := min(4, len(rest))
		if len(rest) == 5 || len(rest) == 6 { // 3 + 3 and 3 + 2 read better than 4 + 1 and 4 + 2
			n = 3
		}
		out = append(out, string(rest[:n]))
		rest = rest[n:]
	}
	return out
}

// steps are the lines of the agent's progress.
func steps() []string { return []string{"card", "pin", "signing", "sending"} }

// digitRange is how many digits a PIN has.
type digitRange struct{ Min, Max int }

// pinDigits returns the bounds of a PIN field. What cannot be a range, because a card says nonsense, becomes 4 to 16: the card
// has the last word anyway.
func pinDigits(least, most int) digitRange {
	if least < 1 || most < least || most > 64 {
		return digitRange{4, 16}
	}
	return digitRange{least, most}
}

// stepState says where step is when the agent is at current: "done", "now" or "todo".
func stepState(step, current string) string {
	order := map[string]int{"card": 1, "pin": 2, "dialog": 2, "pad": 2, "signing": 3, "sending": 4}
	switch s, c := order[step], order[current]; {
	case s < c:
		return "done"
	case s == c:
		return "now"
	default:
		return "todo"
	}
}

// initials returns the first letters of the last two words of a name, for the menu's round mark.
func initials(name string) string {
	words := strings.Fields(name)
	if len(words) > 2 {
		words = words[len(words)-2:] // without the title
	}
	var b strings.Builder
	for _, w := range words {
		if first := []rune(w)[0]; unicode.IsLetter(first) {
			b.WriteRune(unicode.ToUpper(first))
		}
	}
	return b.String()
}

// initial returns the first letter or digit of a title, for a service without a logo.
func initial(title string) string {
	for _, r := range title {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return "•"
}

// codeSize returns how many digits a code has. What cannot be a number of digits becomes 6: the handler has the last word anyway.
func codeSize(digits int) int {
	if digits < 4 || digits > 12 {
		return 6
	}
	return digits
}

// wait says for how long, rounded up: in seconds up to a minute and a half, then in minutes.
func (c catalogue) wait(d time.Duration) (string, error) {
	if seconds := int((d + time.Second - 1) / time.Second); seconds <= 90 {
		return c.text("wait_for.seconds", max(seconds, 1))
	}
	return c.text("wait_for.minutes", int((d+time.Minute-1)/time.Minute))
}

// drawQR returns a text as a QR code, an element svg. What cannot be one is not drawn: what it says is on the page in another form too.
func drawQR(text string) template.HTML {
	svg, err := qrcode.SVG(text)
	if err != nil {
		return ""
	}
	return svg
}

// quads cuts a key into groups of four characters, as people copy it.
func quads(key string) []string {
	var all []string
	for rest := []rune(key); len(rest) > 0; {
		n := min(4, len(rest))
		all = append(all, string(rest[:n]))
		rest = rest[n:]
	}
	return all
}

// breaks cuts an address, of mail or of a network (IPv6), where a narrow screen may break it best.
func breaks(s string) []string {
	var all []string
	for _, part := range strings.SplitAfter(s, "@") {
		all = append(all, strings.SplitAfter(part, ":")...)
	}
	return all
}
