package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
)

// claims returns what scopes reveal of the person of a session: the answer of userinfo. What a grant was given on (acr, amr, auth_time) is of
// that moment, whatever the session is now. Nothing that comes from a record or from another provider names a claim (F11).
func (p *Provider) claims(ctx context.Context, v store.Session, g granted, scopes []string) (map[string]any, error) {
	has := func(scope string) bool { return slices.Contains(scopes, scope) }
	a, all := v.Account, map[string]any{}
	add := func(name, value string) {
		if value != "" {
			all[name] = value
		}
	}
	at, err := workOf(v)
	if err != nil {
		return nil, err
	}
	var structures []store.Structure
	if has("structures") || has("psc") || has("scope_all") {
		if structures, err = p.Store.StructuresOf(ctx, a.Subject); err != nil {
			return nil, err
		}
	}
	if has("profile") {
		add("name", idp.Person(v).Name)
		add("given_name", a.GivenName)
		add("family_name", a.FamilyName)
		add("preferred_username", a.LoginName)
	}
	if has("email") && a.Mailbox != "" {
		all["email"], all["email_verified"] = a.Mailbox, true // the operator's record, or the directory's: never what a person said (D12)
	}
	if has("national_id") {
		add("national_id", a.NationalID)
		add("national_id_type", a.IDType)
	}
	if has("profession") {
		add("profession", a.Profession)
	}
	if has("structures") {
		all["structures"] = listOf(structures)
	}
	if has("card") {
		add("card_type", v.CardType)
	}
	if has("situation") && at != nil {
		all["situation"] = at
	}
	if has("psc") || has("scope_all") {
		asPSC(all, v, at, structures)
	}
	all["sub"], all["acr"], all["auth_time"], all["sid"] = g.Subject, g.ACR, g.AuthTime, g.SID
	if len(g.AMR) > 0 {
		all["amr"] = g.AMR
	}
	return all, nil
}

// listOf is the claim structures.
func listOf(all []store.Structure) []map[string]string {
	list := make([]map[string]string, 0, len(all))
	for _, s := range all {
		list = append(list, map[string]string{"id": s.ID, "name": s.Name})
	}
	return list
}

// work is the situation in which a person works, as a session has it: see package psc. What is not known is empty.
type work struct {
	Profession    string `json:"profession,omitempty"`
	Category      string `json:"category,omitempty"`
	Speciality    string `json:"speciality,omitempty"`
	Mode          string `json:"mode,omitempty"`
	Sector        string `json:"sector,omitempty"`
	Role          string `json:"role,omitempty"`
	StructureID   string `json:"structure_id,omitempty"`
	TechnicalID   string `json:"technical_id,omitempty"`
	StructureName string `json:"structure_name,omitempty"`
	Place         string `json:"place,omitempty"`
}

// workOf returns the situation of a session; nil: it is not known.
func workOf(v store.Session) (*work, error) {
	if v.Situation == "" {
		return nil, nil
	}
	var at work
	if err := json.Unmarshal([]byte(v.Situation), &at); err != nil {
		return nil, fmt.Errorf("read situation: %w", err)
	}
	return &at, nil
}
