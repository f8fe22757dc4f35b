package gateway

import (
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"promess/authgw/certs"
	"promess/authgw/internal/audit"
)

// judge holds the current verifier of cards and replaces it when the revocation lists or the authorities change.
type judge struct {
	audit   *audit.Log
	log     *slog.Logger
	now     func() time.Time
	current atomic.Pointer[verdicts]

	failure atomic.Pointer[string] // of the last look at the lists; nil: there was none
}

// verdicts are what cards are judged by. They are not changed: others take their place.
type verdicts struct {
	config    certs.Config
	materials Materials
	verifier  *certs.Verifier
}

// newVerdicts reads the lists of materials.
func newVerdicts(c certs.Config, m Materials) (*verdicts, error) {
	lists, err := m.CRLs()
	if err != nil {
		return nil, err
	}
	c.Trust, c.CRLs = m.Trust, lists
	v, err := certs.NewVerifier(c)
	if err != nil {
		return nil, err
	}
	return &verdicts{config: c, materials: m, verifier: v}, nil
}

// verifier returns the current one.
func (j *judge) verifier() *certs.Verifier { return j.current.Load().verifier }

// use judges by v from now on.
func (j *judge) use(v *verdicts) {
	j.current.Store(v)
	j.failure.Store(nil)
	for _, l := range v.config.CRLs.Lists() {
		j.log.Info("revocation list loaded", "issuer", l.Issuer, "number", l.Number, "entries", l.Entries,
			"this_update", l.ThisUpdate, "next_update", l.NextUpdate)
		j.record(audit.Event{Kind: audit.CRLLoaded, Outcome: "success", Issuer: l.Issuer,
			Detail: "number " + l.Number + ", entries " + strconv.Itoa(l.Entries) + ", until " + l.NextUpdate.UTC().Format(time.RFC3339)})
	}
	for _, problem := range j.problems() {
		j.log.Warn("cards will be refused", "problem", problem)
	}
}

func (j *judge) record(e audit.Event) {
	if err := j.audit.Record(e); err != nil {
		j.log.Error("audit event lost", "kind", string(e.Kind), "error", err)
	}
}

// refresh reads the lists again. Those in force stay when the new ones cannot be read: they refuse by themselves once they are outdated.
func (j *judge) refresh() {
	now := j.current.Load()
	v, err := newVerdicts(now.config, now.materials)
	if err == nil {
		j.use(v)
		return
	}
	why := err.Error()
	if before := j.failure.Swap(&why); before == nil || *before != why { // it is tried again at every look
		j.log.Error("new revocation lists refused, the old ones stay in force", "error", err)
	}
}

// problems says what makes cards be refused with revocation_unknown now: a list that is missing or outdated, of an authority that
// issues cards or of one above it.
func (j *judge) problems() []string {
	v := j.current.Load()
	if v.config.InsecureSkipRevocation {
		return nil
	}
	until := map[string]time.Time{}
	for _, l := range v.config.CRLs.Lists() {
		until[l.Issuer] = l.NextUpdate
	}
	var all []string
	for _, name := range ListsNeeded(v.config.Trust) {
		switch end, ok := until[name]; {
		case !ok:
			all = append(all, "no revocation list of "+name)
		case j.now().After(end):
			all = append(all, "the revocation list of "+name+" was good until "+end.UTC().Format(time.RFC3339))
		}
	}
	return all
}

// ListsNeeded names the authorities whose revocation lists a login asks for: those that issue cards, and those that issued them.
func ListsNeeded(trust *certs.Trust) []string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	authorities := trust.Authorities()
	for _, a := range authorities {
		if !a.IssuesCards {
			continue
		}
		add(a.Name)
		for _, above := range authorities {
			if a.Certificate.CheckSignatureFrom(above.Certificate) == nil {
				add(above.Name)
			}
		}
	}
	return names
}

// logTrust says, whenever it is decided, whom cards are believed from, and what lowers security.
func (j *judge) logTrust() {
	v := j.current.Load()
	for _, a := range v.config.Trust.Authorities() {
		j.log.Info("authority trusted", "name", a.Name, "root", a.Root, "issues_cards", a.IssuesCards, "published_by_ans", a.Published, "until", a.NotAfter)
		if a.Test && !v.config.AllowTest {
			j.log.Warn("a test authority is configured; its cards are refused", "name", a.Name)
		}
	}
	var lowered []string
	if v.config.AllowTest {
		lowered = append(lowered, "card.allow_test: test cards are accepted; nobody has checked who holds them")
	}
	if v.config.InsecureSkipRevocation {
		lowered = append(lowered, "card.insecure_skip_revocation: revoked cards are accepted")
	}
	if len(lowered) == 0 {
		return
	}
	j.log.Warn("security is lowered by the configuration", "settings", strings.Join(lowered, "; "))
	if v.config.InsecureSkipRevocation {
		j.record(audit.Event{Kind: audit.RevocationSkipped})
	}
}
