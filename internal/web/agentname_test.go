package web_test

import (
	"regexp"
	"strings"
	"testing"

	"promess/authgw/internal/web"
)

func TestBrowserIsNamedShortly(t *testing.T) {
	for _, c := range []struct{ name, userAgent, want string }{
		{"Firefox on Linux", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0", "Firefox 153, Linux"},
		{"Firefox ESR on Windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140, Windows"},
		{"Chrome on Windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36", "Chrome 138, Windows"},
		{"Chrome on Android", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36", "Chrome 138, Android"},
		{"Chrome on an iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/138.0.7204.53 Mobile/15E148 Safari/604.1", "Chrome 138, iOS"},
		{"Chrome without a window", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/138.0.0.0 Safari/537.36", "Chrome 138, Linux"},
		{"Chrome on ChromeOS", "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36", "Chrome 138, ChromeOS"},
		{"Edge", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.3351.55", "Edge 138, Windows"},
		{"Opera", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/136.0.0.0 Safari/537.36 OPR/120.0.0.0", "Opera 120, Windows"},
		{"Samsung Internet", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36", "Samsung Internet 28, Android"},
		{"Safari on a Mac", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15", "Safari 18, macOS"},
		{"Safari on an iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", "Safari 18, iOS"},
		{"Internet Explorer 11", "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer, Windows"},
		{"Internet Explorer 8", "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)", "Internet Explorer 8, Windows"},
		{"a program", "curl/8.5.0", ""},
		{"nothing", "", ""},
		{"a system alone", "SomeApp (Windows NT 10.0)", "Windows"},
		{"a browser alone", "Firefox/153.0", "Firefox 153"},
		{"a version that is none", "Firefox/x (Linux)", "Firefox, Linux"},
		{"a version without end", "Firefox/" + strings.Repeat("9", 300) + " (Linux)", "Firefox, Linux"},
		{"a name that comes too late", strings.Repeat("x", 600) + "Firefox/153.0", ""},
		{"markup", "<script>alert(1)</script> Firefox/1<b>", "Firefox 1"},
	} {
		if got := web.BrowserName(c.userAgent); got != c.want {
			t.Errorf("%s: BrowserName(%q) = %q, want %q", c.name, c.userAgent, got, c.want)
		}
	}
}

// Nothing of a header comes back but a number of four digits.
func FuzzBrowserNameEchoesNothing(f *testing.F) {
	f.Add("Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")
	f.Add("Version/18 Safari/ <b>")
	f.Add("MSIE \x00 Windows")
	form := regexp.MustCompile(`^((Edge|Opera|Vivaldi|Samsung Internet|Firefox|Chrome|Chromium|Internet Explorer|Safari)( [0-9]{1,4})?)?(, )?(iOS|iPadOS|Android|ChromeOS|Windows|macOS|FreeBSD|OpenBSD|Linux)?$`)
	f.Fuzz(func(t *testing.T, userAgent string) {
		if got := web.BrowserName(userAgent); !form.MatchString(got) {
			t.Errorf("BrowserName(%q) = %q", userAgent, got)
		}
	})
}
