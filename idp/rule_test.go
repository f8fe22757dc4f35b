package idp_test

import (
	"net/http"
	"strings"
	"testing"

	"promess/authgw/idp"
)

func TestRules(t *testing.T) {
	doctor := idp.Rule{Professions: []string{"10", "60"}}
	for _, tt := range []struct {
		name   string
		rule   idp.Rule
		change func(*idp.Proof)
		want   string // of the catalogue; empty: may
	}{
		{name: "no rule is everybody"},
		{name: "a profession of the list", rule: doctor},
		{name: "another profession", rule: doctor, change: func(p *idp.Proof) { p.Profession = "21" }, want: "service_not_allowed"},
		{name: "no profession, as employees", rule: doctor, change: func(p *idp.Proof) { p.Profession = "" }, want: "service_not_allowed"},
		{name: "a card type of the list", rule: idp.Rule{CardTypes: []string{"CPS"}}},
		{name: "another card type", rule: idp.Rule{CardTypes: []string{"CPE"}}, want: "service_not_allowed"},
		{name: "no structure", rule: idp.Rule{Structures: []string{"10B0057881"}}, want: "service_not_allowed"},
		{name: "one list fits and another does not", rule: idp.Rule{Professions: []string{"10"}, CardTypes: []string{"CPE"}}, want: "service_not_allowed"},
		{name: "the level", rule: idp.Rule{ACR: idp.ACRHardware}},
		{name: "a lower level (F13)", rule: idp.Rule{ACR: idp.ACRHardware}, change: func(p *idp.Proof) { p.ACR = idp.ACRTwoFactor }, want: "level_too_low"},
		{name: "a level nobody knows (D13)", rule: idp.Rule{ACR: idp.ACRTwoFactor}, change: func(p *idp.Proof) { p.ACR = "urn:other" }, want: "level_too_low"},
		{name: "a rule with a level nobody knows", rule: idp.Rule{ACR: "urn:other"}, want: "level_too_low"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorldWith(t, func(c *idp.Config) { c.Services[1].Rule = tt.rule })
			p := martin()
			if tt.change != nil {
				tt.change(&p)
			}
			w.method.believe(p)
			b := w.browser(t)
			b.logIn()
			portal := b.get(auth + "/")
			if shown := strings.Contains(portal.body, "Agenda"); shown != (tt.want == "") {
				t.Errorf("the portal shows the service: %t, want %t", shown, tt.want == "")
			}
			if !strings.Contains(portal.body, "Messagerie") {
				t.Error("the portal is without the other service")
			}
			reached := w.backend.count()
			got, _ := b.follow(b.get(agenda + "/today"))
			switch {
			case tt.want == "":
				if got.status != http.StatusOK || w.backend.count() == reached {
					t.Errorf("the service = %d, want its page", got.status)
				}
			case got.status != http.StatusForbidden || w.backend.count() != reached:
				t.Errorf("the service = %d and was reached %d times, want 403 and never", got.status, w.backend.count()-reached)
			}
		})
	}
}

// A rule holds at every request, not at the entry alone: what a session may is asked of the session as it is now.
func TestRuleHoldsAtEveryRequest(t *testing.T) {
	w := newWorldWith(t, func(c *idp.Config) { c.Services[1].Rule = idp.Rule{Professions: []string{"10"}} })
	b := w.inside(t)
	p := martin()
	p.Profession = "21" // the next card of the same person says so
	w.method.believe(p)
	w.browser(t).logIn()
	if got := b.get(agenda + "/today"); got.status != http.StatusForbidden {
		t.Errorf("a page of the service = %d, want 403", got.status)
	}
	if got := b.get(agenda+"/api", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", "application/json"); got.status != http.StatusForbidden ||
		!strings.Contains(got.body, `"service_not_allowed"`) {
		t.Errorf("a request of its script = %d %s, want 403 service_not_allowed", got.status, got.body)
	}
	if got := b.get(mail + "/inbox"); got.status != http.StatusOK {
		t.Errorf("another service = %d, want 200", got.status)
	}
}
