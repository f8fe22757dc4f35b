package client

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of settings.
const (
	maxTitle  = 80
	maxText   = 200
	maxURIs   = 50
	maxList   = 100
	maxMaxAge = 12 * time.Hour // no session lasts longer
)

var (
	idPattern         = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	professionPattern = regexp.MustCompile(`^[0-9]{1,3}$`)
	structurePattern  = regexp.MustCompile(`^[0-9][0-9A-Z]{1,20}$`)
)

// ScopesKnown returns the scopes that there are. scope_all is what Pro Santé Connect calls psc.
func ScopesKnown() []string {
	return []string{"openid", "profile", "email", "national_id", "profession", "structures", "card", "situation", "psc", "scope_all", "offline_access"}
}

// check is one look at settings.
type check struct {
	own      Own
	problems []Problem
}

func (c *check) reportf(key, format string, args ...any) {
	c.problems = append(c.problems, Problem{key, fmt.Sprintf(format, args...)})
}

// Own is what the gateway has itself, and no client may.
type Own struct {
	Hosts []string // that no client is answered at
	// Services are the names of those behind the proxy. A name is one audience: what is said to a service of somebody must be nothing to a
	// client, and the other way round (RFC 8725, section 3.9).
	Services []string
}

// Client returns what the settings mean, without the hashes of secrets, which are kept apart from them. The error is a *Refused with everything
// that is wrong.
func (s Settings) Client(own Own) (*Client, error) {
	c := &check{own: own}
	v := &Client{
		ID: s.ID, Title: s.Title, Description: s.Description, Home: s.Home, Native: s.Native, Refresh: s.Refresh, Device: s.Device, Consent: s.Consent, Introspect: s.Introspect,
		RedirectURIs: slices.Clone(s.RedirectURIs), AfterLogout: slices.Clone(s.PostLogoutRedirectURIs),
	}
	if !idPattern.MatchString(s.ID) {
		c.reportf("id", "1 to 64 letters, digits, dots, underscores and hyphens expected, %s given", quote(s.ID))
	}
	if slices.Contains(own.Services, s.ID) {
		c.reportf("id", "another name than that of a service behind the gateway expected, %s given: assertions for the one would be taken by the other", quote(s.ID))
	}
	c.title(s.Title)
	c.portal(s)
	c.redirects(s)
	v.Scopes = c.scopes(s)
	v.Rule = c.rule(s.Allow)
	v.MaxAge = c.maxAge(s.MaxAge)
	v.Subject, v.Sector = c.subject(s)
	v.Signing = c.oneOf("signing", s.Signing, "ES256", "ES256", "RS256")
	c.backChannel(s, v)
	c.frontChannel(s, v)
	c.auth(s, v)
	if len(c.problems) > 0 {
		return nil, &Refused{c.problems}
	}
	return v, nil
}

func (c *check) title(title string) {
	if title == "" {
		c.reportf("title", "missing: its name, as people are shown it")
		return
	}
	c.line("title", title, maxTitle)
}

// line checks a text that people are shown.
func (c *check) line(key, text string, most int) {
	bad := func(r rune) bool { return !unicode.IsPrint(r) }
	if utf8.RuneCountInString(text) > most || !utf8.ValidString(text) || strings.ContainsFunc(text, bad) || text != strings.TrimSpace(text) {
		c.reportf(key, "one line of text of at most %d characters expected, %s given", most, quote(text))
	}
}

// portal checks what the portal shows.
func (c *check) portal(s Settings) {
	c.line("description", s.Description, maxText)
	if s.Home == "" {
		if s.Description != "" {
			c.reportf("description", "home expected beside it: it is on the portal that it is shown")
		}
		return
	}
	if err := checkWeb(s.Home, c.own.Hosts); err != nil {
		c.reportf("home", "%v", err)
	}
}

// oneOf reads one of the given words; none is the fallback.
func (c *check) oneOf(key, word, fallback string, words ...string) string {
	if word == "" {
		return fallback
	}
	if !slices.Contains(words, word) {
		c.reportf(key, "one of %s expected, %s given", strings.Join(words, ", "), quote(word))
	}
	return word
}

// list checks each element, and that none is there twice.
func (c *check) list(key string, all []string, limit int, fits func(string) bool, what string) {
	if len(all) > limit {
		c.reportf(key, "at most %d expected, %d given", limit, len(all))
		return
	}
	for i, text := range all {
		at := fmt.Sprintf("%s[%d]", key, i)
		if !fits(text) {
			c.reportf(at, "%s expected, %s given", what, quote(text))
		} else if first := slices.Index(all, text); first < i {
			c.reportf(at, "given twice; the first is %s[%d]", key, first)
		}
	}
}

func among(words ...string) (fits func(string) bool, what string) {
	return func(text string) bool { return slices.Contains(words, text) }, "one of " + strings.Join(words, ", ")
}

func (c *check) redirects(s Settings) {
	uris := func(key string, all []string) {
		if len(all) > maxURIs {
			c.reportf(key, "at most %d expected, %d given", maxURIs, len(all))
			return
		}
		for i, text := range all {
			at := fmt.Sprintf("%s[%d]", key, i)
			if err := checkRedirect(text, s.Native, c.own.Hosts); err != nil {
				c.reportf(at, "%v", err)
			} else if first := slices.Index(all, text); first < i {
				c.reportf(at, "given twice; the first is %s[%d]", key, first)
			}
		}
	}
	uris("redirect_uris", s.RedirectURIs)
	uris("post_logout_redirect_uris", s.PostLogoutRedirectURIs)
	if len(s.RedirectURIs) == 0 && !s.Device && !s.Introspect {
		c.reportf("redirect_uris", "missing: the URL of the service that a person comes back to from the login (or set device, for one without a browser, or introspect, for one that only asks about tokens)")
	}
}

// scopes returns the scopes with openid, and psc under both of its names.
func (c *check) scopes(s Settings) []string {
	fits, what := among(ScopesKnown()...)
	c.list("scopes", s.Scopes, maxList, fits, what)
	if slices.Contains(s.Scopes, "offline_access") && !s.Refresh {
		c.reportf("scopes", "refresh expected beside offline_access: set refresh to true, or leave offline_access out")
	}
	has := func(scope string) bool { return slices.Contains(s.Scopes, scope) }
	var all []string
	for _, scope := range ScopesKnown() {
		if scope == "openid" || has(scope) || (scope == "psc" || scope == "scope_all") && (has("psc") || has("scope_all")) {
			all = append(all, scope)
		}
	}
	return all
}

func (c *check) rule(a Allow) Rule {
	fits, what := among("card", "otp", "qr", "passkey", "psc")
	c.list("allow.methods", a.Methods, maxList, fits, what)
	fits, what = among("CPS", "CPF", "CPE", "CPA")
	c.list("allow.card_types", a.CardTypes, maxList, fits, what)
	c.list("allow.professions", a.Professions, maxList, professionPattern.MatchString, `a code of nomenclature G15, such as "10" for doctors,`)
	c.list("allow.structures", a.Structures, maxList, structurePattern.MatchString, `the identifier of a structure with the digit of its type in front, such as "10B0057881",`)
	return Rule{
		Level:   c.oneOf("allow.level", a.Level, "", "hardware", "two_factor"),
		Methods: slices.Clone(a.Methods), Professions: slices.Clone(a.Professions), CardTypes: slices.Clone(a.CardTypes), Structures: slices.Clone(a.Structures),
	}
}

func (c *check) maxAge(text string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > maxMaxAge || d%time.Second != 0 {
		c.reportf("max_age", "a duration from 1s to %gh in whole seconds, such as 15m, expected, %s given", maxMaxAge.Hours(), quote(text))
	}
	return d
}

// subject returns how a client knows persons. OpenID Connect Core 1.0, section 8.1: with several hosts, what they have in common is said.
func (c *check) subject(s Settings) (Subjects, string) {
	kind := Subjects(c.oneOf("subject", s.Subject, string(PublicSubject), string(PublicSubject), string(PairwiseSubject)))
	if kind != PairwiseSubject {
		if s.Sector != "" {
			c.reportf("sector", "subject: pairwise expected beside it; leave sector out, or set subject")
		}
		return kind, ""
	}
	if s.Sector != "" {
		if err := checkHost(s.Sector); err != nil {
			c.reportf("sector", "the host name by which subjects differ expected, %s given", quote(s.Sector))
		}
		return kind, s.Sector
	}
	hosts := map[string]bool{}
	var host string
	for _, text := range s.RedirectURIs {
		host = hostOf(text)
		hosts[host] = true
	}
	if len(hosts) != 1 || host == "" {
		c.reportf("sector", "missing: the host name by which subjects differ, as the redirect URIs are not all of one host")
		return kind, ""
	}
	return kind, host
}

func (c *check) backChannel(s Settings, v *Client) {
	for i, text := range s.BackchannelNetworks {
		p, err := netip.ParsePrefix(text)
		if a, fail := netip.ParseAddr(text); fail == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil || p != p.Masked() || p.Addr().Is4In6():
			c.reportf(fmt.Sprintf("backchannel_networks[%d]", i), "an address or a network such as 10.1.2.0/24 expected, %s given", quote(text))
		case p.Bits() == 0:
			c.reportf(fmt.Sprintf("backchannel_networks[%d]", i), "the network that the service is in expected, every address given")
		default:
			v.BackChannelPrivate = append(v.BackChannelPrivate, p)
		}
	}
	if len(s.BackchannelNetworks) > maxList {
		c.reportf("backchannel_networks", "at most %d expected, %d given", maxList, len(s.BackchannelNetworks))
	}
	v.BackChannel = s.BackchannelLogoutURI
	if s.BackchannelLogoutURI == "" {
		if len(s.BackchannelNetworks) > 0 {
			c.reportf("backchannel_networks", "backchannel_logout_uri expected beside it, none given")
		}
		return
	}
	if err := checkWeb(s.BackchannelLogoutURI, c.own.Hosts); err != nil {
		c.reportf("backchannel_logout_uri", "%v", err)
		return
	}
	// F10. What a name resolves to is looked at when it is called.
	if a, err := netip.ParseAddr(strings.Trim(hostOf(s.BackchannelLogoutURI), "[]")); err == nil && !v.MayTell(a) {
		c.reportf("backchannel_logout_uri", "%s is not a public address; when it is really there, put its network into backchannel_networks", a)
	}
}

// frontChannel checks a page that the gateway's own page frames. OpenID Connect Front-Channel Logout 1.0, section 2: the domain, port, and
// scheme of this URL MUST be the same as that of a registered Redirection URI value.
func (c *check) frontChannel(s Settings, v *Client) {
	v.FrontChannel = s.FrontchannelLogoutURI
	if s.FrontchannelLogoutURI == "" {
		return
	}
	if err := checkWeb(s.FrontchannelLogoutURI, c.own.Hosts); err != nil {
		c.reportf("frontchannel_logout_uri", "%v", err)
		return
	}
	origin := originOf(s.FrontchannelLogoutURI)
	if !slices.ContainsFunc(s.RedirectURIs, func(text string) bool { return originOf(text) == origin }) {
		c.reportf("frontchannel_logout_uri", "a URL of the scheme, host and port of one of redirect_uris expected, one of %s given", quote(origin))
	}
}

func (c *check) auth(s Settings, v *Client) {
	v.Auth = Auth(c.oneOf("auth", s.Auth, string(SharedSecret), string(Public), string(SharedSecret), string(PrivateKeyJWT), string(TLSClientAuth)))
	switch {
	case v.Auth == PrivateKeyJWT && len(s.JWKS) == 0:
		c.reportf("jwks", "missing: the JWK set of its public keys, which auth: private_key_jwt needs")
	case v.Auth != PrivateKeyJWT && len(s.JWKS) > 0:
		c.reportf("jwks", "auth: private_key_jwt expected beside it; leave the keys out, or set auth")
	case len(s.JWKS) > 0:
		keys, err := parseKeys(s.JWKS)
		if err != nil {
			c.reportf("jwks", "%v", err)
		}
		v.Keys = keys
	}
	switch {
	case v.Auth == TLSClientAuth && len(s.Certificates) == 0:
		c.reportf("certificates", "missing: the SHA-256 fingerprint of its TLS client certificate, as  openssl x509 -noout -fingerprint -sha256 -in FILE  prints it")
	case v.Auth != TLSClientAuth && len(s.Certificates) > 0:
		c.reportf("certificates", "auth: self_signed_tls_client_auth expected beside it; leave the certificates out, or set auth")
	default:
		v.Certificates = c.certificates(s.Certificates)
	}
	if s.Introspect && v.Auth == Public {
		c.reportf("introspect", "a client that proves who it is expected, auth: none given: anybody could ask about tokens in its name")
	}
}

func (c *check) certificates(all []string) map[string]bool {
	prints := make([]string, 0, len(all))
	for _, text := range all {
		prints = append(prints, strings.ToLower(strings.ReplaceAll(text, ":", "")))
	}
	c.list("certificates", prints, maxKeys, func(text string) bool {
		b, err := hex.DecodeString(text)
		return err == nil && len(b) == 32
	}, "a SHA-256 fingerprint, 64 hexadecimal digits,")
	if len(prints) == 0 {
		return nil
	}
	set := map[string]bool{}
	for _, text := range prints {
		set[text] = true
	}
	return set
}

// quote shows a given value in a message: on one line, short, and without what may be a password in a URL.
func quote(text string) string {
	if text == "" {
		return "nothing"
	}
	if len(text) > 80 || strings.ContainsRune(text, '@') && strings.ContainsRune(text, '/') || !utf8.ValidString(text) {
		return fmt.Sprintf("a text of %d bytes", len(text))
	}
	return fmt.Sprintf("%q", text)
}
