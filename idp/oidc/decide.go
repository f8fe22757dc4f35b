package oidc

import (
	"context"
	"errors"
	"slices"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
)

// leeway is by how much the clock of somebody else who saw a person sign in may be behind ours.
const leeway = 30 * time.Second

// step is what a request needs next.
type step int

const (
	give    step = iota // a code
	signIn              // a login, for which the demand says what is missing
	agree               // the person's consent
	never               // another person: the client's rule does not admit this one
	another             // nothing: the login that was asked for was another person's than the hint's
)

// verdict is what becomes of a request, with the session that there is.
type verdict struct {
	step   step
	demand idp.Demand // of signIn
	reason string     // a word, for the audit and the pages
}

// inquiry is a request with all that it is decided by.
type inquiry struct {
	asked
	client  *client.Client
	created time.Time
	handle  string // empty: it is not kept
}

// decide looks at a request and the session that there is; nil: none. What it says holds for this moment, so it is asked at every step.
func (p *Provider) decide(ctx context.Context, i *inquiry, v *store.Session) (verdict, error) {
	if v == nil {
		return verdict{step: signIn, demand: i.demand("")}, nil
	}
	fresh, rule, not := i.fresh(v), i.client.Rule, neverAdmits(i.client.Rule, v)
	switch {
	case i.Person != "" && p.subject(i.client, v.Account.Subject) != i.Person:
		if fresh { // it was asked for, and this is who came
			return verdict{step: another, reason: "other_person"}, nil
		}
		return i.missing("step_person"), nil
	case i.Login && !fresh:
		return i.missing("step_recent"), nil
	case not != "":
		return verdict{step: never, reason: not}, nil
	case i.old(p.Now(), v) && !fresh:
		return i.missing("step_recent"), nil
	case !member(rule.CardTypes, v.CardType):
		return i.missing("step_card"), nil
	case !member(rule.Methods, v.Method):
		return i.missing("step_method"), nil
	case idp.Level(v.ACR) < idp.Level(i.level()):
		return i.missing("step_level"), nil
	}
	asks, err := p.mustAsk(ctx, i, v)
	if err != nil || !asks {
		return verdict{step: give}, err
	}
	return verdict{step: agree}, nil
}

// member says whether one of values is in a list; a list without entries has everything.
func member(list []string, values ...string) bool {
	return len(list) == 0 || slices.ContainsFunc(values, func(v string) bool { return v != "" && slices.Contains(list, v) })
}

// fresh says whether a session was opened for a request: it is another than the one before, and the person proved who they are since.
func (i *inquiry) fresh(v *store.Session) bool {
	return v.ID != i.Before && !v.CreatedAt.Before(i.created) && !v.AuthTime.Add(leeway).Before(i.created)
}

// old says whether the person has signed in longer ago than the request or the client allows.
func (i *inquiry) old(now time.Time, v *store.Session) bool {
	most := i.client.MaxAge
	if i.MaxAge != nil {
		if asked := time.Duration(*i.MaxAge) * time.Second; most == 0 || asked < most {
			most = asked
		}
	} else if most == 0 {
		return false
	}
	return now.Sub(v.AuthTime) > most
}

// level is the level that is needed: the higher of what the client's rule and the request say.
func (i *inquiry) level() string {
	rule := ruleLevel(i.client.Rule.Level)
	if idp.Level(i.asked.Level) > idp.Level(rule) {
		return i.asked.Level
	}
	return rule
}

// ruleLevel is the acr of a rule's word; empty: it has none.
func ruleLevel(word string) string {
	switch word {
	case "hardware":
		return idp.ACRHardware
	case "two_factor":
		return idp.ACRTwoFactor
	}
	return ""
}

// missing is the verdict that the session does not do, for a reason that the login page says.
func (i *inquiry) missing(notice string) verdict {
	d := i.demand(notice)
	d.Again = true
	return verdict{step: signIn, demand: d, reason: notice}
}

// demand is what the request asks of a login.
func (i *inquiry) demand(notice string) idp.Demand {
	d := idp.Demand{
		Title: i.client.Title, Notice: notice, Level: i.level(), Only: i.client.Rule.Methods, Hint: i.Hint,
		Fresh: i.Login || i.MaxAge != nil || i.client.MaxAge > 0,
	}
	if len(i.client.Rule.CardTypes) > 0 { // of which only a card's session knows
		d.Only = []string{"card"}
	}
	if len(d.Only) == 0 {
		d.Only = nil
	}
	return d
}

// mustAsk says whether the person is to be asked before the client is told anything.
func (p *Provider) mustAsk(ctx context.Context, i *inquiry, v *store.Session) (bool, error) {
	switch {
	case i.Consent:
		return true, nil
	case !i.client.Consent:
		return false, nil
	}
	c, err := p.Store.ConsentTo(ctx, v.Account.Subject, i.client.ID)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	missing := slices.ContainsFunc(i.Scopes, func(scope string) bool { return !slices.Contains(c.Scopes, scope) })
	return missing, err
}
