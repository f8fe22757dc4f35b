package doctor

import (
	"context"
	"os"
	"time"

	"promess/authgw/certs"
	"promess/authgw/internal/gateway"
)

const (
	// authoritySoon is how long before its end an authority is worth a word: new cards come from another one by then.
	authoritySoon = 90 * 24 * time.Hour
	// listSoon is how long before its end a revocation list should have been replaced. IGC-Santé issues one each day, for a week or so.
	listSoon = 24 * time.Hour
	// skew is by how much the clocks of two machines may differ.
	skew = 5 * time.Minute
)

func (d *doctor) trust() (*certs.Trust, error) {
	return certs.LoadTrust(d.Gateway.Card.Trust, d.Gateway.Card.Issuers)
}

// authorities looks at those that cards are believed from, and those above.
func (d *doctor) authorities(context.Context) {
	trust, err := d.trust()
	if err != nil {
		d.fail("authority", "put the certificates of IGC-Santé there, PEM or DER, and nothing else", "%v", err)
		return
	}
	for _, a := range trust.Authorities() {
		switch {
		case d.now.After(a.NotAfter):
			d.fail("authority", "remove it, when no cards of it are in use any more", "%s has expired, %s", a.Name, d.until(a.NotAfter))
		case a.Test && d.Gateway.Card.AllowTest:
			d.warn("authority", "set card.allow_test to false where real mailboxes are", "%s is one of tests, and its cards are accepted", a.Name)
		case !a.Published:
			d.warn("authority", "compare its fingerprint with that which the ANS publishes", "%s is none that the ANS had published when this program was made", a.Name)
		case a.NotAfter.Sub(d.now) < authoritySoon:
			d.warn("authority", "look for its successor at the ANS", "%s expires %s", a.Name, d.until(a.NotAfter))
		default:
			d.ok("authority", "%s is published by the ANS", a.Name)
		}
	}
}

// lists looks for the revocation list of each authority that needs one.
func (d *doctor) lists(context.Context) {
	if d.Gateway.Card.InsecureSkipRevocation {
		d.warn("revocation list", "give lists in card.crls and remove card.insecure_skip_revocation", "none is asked for: stolen cards are accepted")
		return
	}
	trust, err := d.trust()
	if err != nil {
		return // said already
	}
	lists, err := certs.LoadCRLs(trust, d.Gateway.Card.CRLs)
	if err != nil {
		d.fail("revocation list", "fetch it anew, to a file beside and then by renaming", "%v", err)
		return
	}
	found := map[string]certs.CRLInfo{}
	for _, l := range lists.Lists() {
		found[l.Issuer] = l
	}
	const fetch = "see to the timer that fetches it; every card of the authority is refused without"
	for _, name := range gateway.ListsNeeded(trust) {
		l, ok := found[name]
		switch {
		case !ok:
			d.fail("revocation list", "add its file to card.crls; every card of the authority is refused without", "there is none of %s", name)
		case l.ThisUpdate.After(d.now.Add(skew)):
			d.fail("revocation list", "set the clock of this machine", "that of %s was issued in the future, %s", name, d.until(l.ThisUpdate))
		case d.now.After(l.NextUpdate):
			d.fail("revocation list", fetch, "that of %s is out of date, %s", name, d.until(l.NextUpdate))
		case l.NextUpdate.Sub(d.now) < listSoon:
			d.warn("revocation list", fetch, "that of %s is out of date %s", name, d.until(l.NextUpdate))
		default:
			d.ok("revocation list", "that of %s is good; the next is due %s", name, d.until(l.NextUpdate))
		}
	}
}

// clock compares the clock of this machine with the times of what others have written.
func (d *doctor) clock(context.Context) {
	latest, from := time.Time{}, ""
	for _, name := range append([]string{d.Gateway.File, d.Gateway.Database}, d.Gateway.Card.CRLs...) {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(latest) {
			latest, from = info.ModTime(), name
		}
	}
	if latest.After(d.now.Add(skew)) {
		d.fail("clock", "set the clock of this machine, and have it kept by NTP", "%s was written in the future, %s", from, d.until(latest))
		return
	}
	d.ok("clock", "%s; no file is from the future", d.now.UTC().Format("2006-01-02 15:04:05 UTC"))
}
