package oidc

import (
	"context"
	"slices"

	lib "github.com/zitadel/oidc/v3/pkg/oidc"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// Listed implements idp.Asker: the clients that have a home and may admit the person, if only after another login.
func (p *Provider) Listed(ctx context.Context, v store.Session) ([]web.PortalService, error) {
	all, err := p.Clients.All(ctx)
	if err != nil {
		return nil, err
	}
	var listed []web.PortalService
	for _, c := range all {
		if c.Home != "" && neverAdmits(c.Rule, &v) == "" {
			listed = append(listed, web.PortalService{Name: c.ID, Title: c.Title, Description: c.Description, URL: c.Home})
		}
	}
	return listed, nil
}

// neverAdmits says why a rule admits the person of a session by no login at all, by a word of the catalogue; empty: it may.
func neverAdmits(rule client.Rule, v *store.Session) string {
	switch {
	case rule.Level != "" && ruleLevel(rule.Level) == "": // a level that nobody knows is for nobody, as in idp.Rule
		return "level"
	case !member(rule.Professions, v.Account.Profession):
		return "profession"
	case !member(rule.Structures, v.Account.Structures...):
		return "structure"
	case len(rule.CardTypes) > 0 && v.CardType != "" && !member(rule.CardTypes, v.CardType):
		return "card_type"
	}
	return ""
}

// admitted says whether a client's rule, as it is now, admits what was given when it may have been another one: to the person as they are now, by the
// login of then (E5).
func admitted(rule client.Rule, g granted, v store.Session) bool {
	v.Method, v.CardType = g.Method, g.CardType // the session may have moved on to another login
	return neverAdmits(rule, &v) == "" && member(rule.CardTypes, g.CardType) && member(rule.Methods, g.Method) && idp.Level(g.ACR) >= idp.Level(ruleLevel(rule.Level))
}

// allowed returns those of some scopes that a client may have now.
func allowed(c *client.Client, scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { return scope != lib.ScopeOpenID && !slices.Contains(c.Scopes, scope) })
}
