package idp

import (
	"slices"

	"promess/authgw/internal/store"
)

// Rule says who may open a service: whoever fits all of its lists that are not empty, and signed in at least at its level. The zero value
// is everybody.
type Rule struct {
	Professions []string // codes of nomenclature G15
	CardTypes   []string
	Structures  []string
	ACR         string // at least; empty: any
}

// refuses says why a session may not open a service, by a word of the catalogue of package web; empty: it may.
func (r Rule) refuses(v store.Session) string {
	member := func(list []string, values ...string) bool {
		return len(list) == 0 || slices.ContainsFunc(values, func(value string) bool { return value != "" && slices.Contains(list, value) })
	}
	switch {
	case !member(r.Professions, v.Account.Profession), !member(r.CardTypes, v.CardType), !member(r.Structures, v.Account.Structures...):
		return "service_not_allowed"
	case r.ACR != "" && (level(r.ACR) == 0 || level(v.ACR) < level(r.ACR)): // a rule with a level that nobody knows is for nobody
		return "level_too_low"
	}
	return ""
}

// level orders the levels of assurance. What is not known is the lowest (D13).
func level(acr string) int {
	switch acr {
	case ACRHardware:
		return 2
	case ACRTwoFactor:
		return 1
	}
	return 0
}
