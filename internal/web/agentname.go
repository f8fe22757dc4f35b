package web

import "strings"

// maxUserAgent bounds the work that a header can ask for. The names are in the first half of what browsers send.
const maxUserAgent = 512

// browsers are how browsers call themselves. Most claim to be the ones further down too, so the first that is found counts.
var browsers = [...]struct{ token, name string }{
	{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"},
	{"OPR/", "Opera"}, {"Vivaldi/", "Vivaldi"}, {"SamsungBrowser/", "Samsung Internet"},
	{"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"},
	{"CriOS/", "Chrome"}, {"HeadlessChrome/", "Chrome"}, {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"},
	{"MSIE ", "Internet Explorer"}, {"Trident/7.0", "Internet Explorer"},
}

// systems are what browsers call the systems that they run on, in the same order of trust: Android says Linux too, and an
// iPhone "like Mac OS X".
var systems = [...]struct{ token, name string }{
	{"iPhone", "iOS"}, {"iPad", "iPadOS"}, {"Android", "Android"}, {"CrOS", "ChromeOS"},
	{"Windows", "Windows"}, {"Macintosh", "macOS"}, {"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"}, {"Linux", "Linux"},
}

// BrowserName returns a short name for what sent a User-Agent, such as "Firefox 153, Linux": enough for people to recognise their
// own browser in a list. It is empty when neither the browser nor the system is known. Whatever the header holds, the result is
// made of names that are written here and of a version of at most four digits, so it can be stored and shown.
func BrowserName(userAgent string) string {
	ua := userAgent[:min(len(userAgent), maxUserAgent)]
	browser, system := browserOf(ua), ""
	for _, s := range systems {
		if strings.Contains(ua, s.token) {
			system = s.name
			break
		}
	}
	if browser == "" || system == "" {
		return browser + system
	}
	return browser + ", " + system
}

// browserOf returns the browser's name and version.
func browserOf(ua string) string {
	for _, b := range browsers {
		if _, after, found := strings.Cut(ua, b.token); found {
			return named(b.name, after)
		}
	}
	// Safari's own version is in another word, and Android's old browser writes the same.
	if strings.Contains(ua, "Safari/") && !strings.Contains(ua, "Android") {
		_, after, _ := strings.Cut(ua, "Version/")
		return named("Safari", after)
	}
	return ""
}

// named returns name with the number that rest begins with, if it begins with one of a sensible length.
func named(name, rest string) string {
	n := 0
	for n < len(rest) && '0' <= rest[n] && rest[n] <= '9' {
		n++
	}
	if n == 0 || n > 4 {
		return name
	}
	return name + " " + rest[:n]
}
