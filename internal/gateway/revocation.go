package gateway

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"promess/authgw/certs"
	"promess/authgw/internal/audit"
)

// revocationPeriod is how often the files of revocation lists are looked at.
const revocationPeriod = time.Minute

// judge holds the current verifier of cards and replaces it when the revocation lists change.
type judge struct {
	config    certs.Config
	materials Materials
	audit     *audit.Log
	log       *slog.Logger
	now       func() time.Time
	current   atomic.Pointer[certs.Verifier]
	lists     atomic.Pointer[certs.CRLs]
}

// load reads the lists. Those that were in force stay when the new ones cannot be read: they refuse by themselves once they are
// outdated.
func (j *judge) load() error {
	lists, err := j.materials.CRLs()
	if err != nil {
		return err
	}
	c := j.config
	c.CRLs = lists
	v, err := certs.NewVerifier(c)
	if err != nil {
		return err
	}
	j.current.Store(v)
	j.lists.Store(lists)
	for _, l := range lists.Lists() {
		j.log.Info("revocation list loaded", "issuer", l.Issuer, "number", l.Number, "entries", l.Entries,
			"this_update", l.ThisUpdate, "next_update", l.NextUpdate)
		e := audit.Event{Kind: audit.CRLLoaded, Outcome: "success", Issuer: l.Issuer,
			Detail: "number " + l.Number + ", entries " + strconv.Itoa(l.Entries) + ", until " + l.NextUpdate.UTC().Format(time.RFC3339)}
		if err := j.audit.Record(e); err != nil {
			j.log.Error("audit event lost", "kind", string(e.Kind), "error", err)
		}
	}
	for _, problem := range j.problems() {
		j.log.Warn("cards will be refused", "problem", problem)
	}
	return nil
}

// keep looks after the lists until ctx ends.
func (j *judge) keep(ctx context.Context) {
	tick := time.NewTicker(revocationPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		j.refresh()
	}
}

// refresh reads the lists again when they may have changed. It is used by one goroutine.
func (j *judge) refresh() {
	if j.materials.Changed == nil || !j.materials.Changed() {
		return
	}
	if err := j.load(); err != nil {
		j.log.Error("new revocation lists refused, the old ones stay in force", "error", err)
	}
}

// problems says what makes cards be refused with revocation_unknown now: a list that is missing or outdated, of an authority that
// issues cards or of one above it.
func (j *judge) problems() []string {
	if j.config.InsecureSkipRevocation {
		return nil
	}
	until := map[string]time.Time{}
	for _, l := range j.lists.Load().Lists() {
		until[l.Issuer] = l.NextUpdate
	}
	var all []string
	for _, name := range j.listsNeeded() {
		switch end, ok := until[name]; {
		case !ok:
			all = append(all, "no revocation list of "+name)
		case j.now().After(end):
			all = append(all, "the revocation list of "+name+" was good until "+end.UTC().Format(time.RFC3339))
		}
	}
	return all
}

// listsNeeded names the authorities whose lists a login asks for: those that issue cards, and those that issued them.
func (j *judge) listsNeeded() []string {
	var names []string
	add := func(name string) {
		for _, n := range names {
			if n == name {
				return
			}
		}
		names = append(names, name)
	}
	authorities := j.materials.Trust.Authorities()
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

// logTrust says at every start whom cards are believed from, and what lowers security.
func (j *judge) logTrust() {
	for _, a := range j.materials.Trust.Authorities() {
		j.log.Info("authority trusted", "name", a.Name, "root", a.Root, "issues_cards", a.IssuesCards, "published_by_ans", a.Published, "until", a.NotAfter)
		if a.Test && !j.config.AllowTest {
			j.log.Warn("a test authority is configured; its cards are refused", "name", a.Name)
		}
	}
	var lowered []string
	if j.config.AllowTest {
		lowered = append(lowered, "card.allow_test: test cards are accepted; nobody has checked who holds them")
	}
	if j.config.InsecureSkipRevocation {
		lowered = append(lowered, "card.insecure_skip_revocation: revoked cards are accepted")
	}
	if len(lowered) == 0 {
		return
	}
	j.log.Warn("security is lowered by the configuration", "settings", strings.Join(lowered, "; "))
	if j.config.InsecureSkipRevocation {
		if err := j.audit.Record(audit.Event{Kind: audit.RevocationSkipped}); err != nil {
			j.log.Error("audit event lost", "kind", string(audit.RevocationSkipped), "error", err)
		}
	}
}
