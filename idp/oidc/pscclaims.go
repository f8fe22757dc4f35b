package oidc

import (
	"cmp"
	"slices"

	"promess/authgw/internal/store"
)

// Nomenclatures that Pro Santé Connect writes behind a code.
const (
	professionTable = "^1.2.250.1.213.1.1.5.5"
	sectorTable     = "^1.2.250.1.71.4.2.4"
)

// reference is the claim SubjectRefPro of Pro Santé Connect, as far as we know what is in it. There, too, any field may be empty.
type reference struct {
	Exercises []exercise `json:"exercices"`
}

type exercise struct {
	Profession string     `json:"codeProfession"`
	Category   string     `json:"codeCategorieProfessionnelle"`
	Speciality string     `json:"codeSavoirFaire"`
	FamilyName string     `json:"nomDexercice"`
	GivenName  string     `json:"prenomDexercice"`
	Activities []activity `json:"activities"`
}

type activity struct {
	Mode      string `json:"codeModeExercice"`
	Sector    string `json:"codeSecteurDactivite"`
	Role      string `json:"codeRole"`
	Technical string `json:"identifiantTechniqueDeLaStructure"`
	Structure string `json:"ancienIdentifiantDeLaStructure"` // with the digit of its type in front
	Name      string `json:"raisonSocialeSite"`
	Town      string `json:"bureauCedex"`
}

// asPSC adds what a service made for Pro Santé Connect reads, under the names that it has there. What nobody told us is left out: no right is
// claimed for anybody.
func asPSC(all map[string]any, v store.Session, at *work, structures []store.Structure) {
	a := v.Account
	known := map[string]string{
		"SubjectNameID": a.NationalID, "preferred_username": a.NationalID, "given_name": a.GivenName, "family_name": a.FamilyName,
		"authMode": authMode(v), "UITVersion": "1.0",
	}
	profession := a.Profession
	if at != nil {
		profession = cmp.Or(at.Profession, profession)
		known["SubjectOrganization"], known["SubjectOrganizationID"] = at.StructureName, cmp.Or(at.TechnicalID, at.StructureID)
		if at.Sector != "" {
			known["Secteur_Activite"] = at.Sector + sectorTable
		}
	}
	for name, value := range known {
		if value != "" {
			all[name] = value
		}
	}
	if profession != "" {
		all["SubjectRole"] = []string{profession + professionTable}
	}
	if a.NationalID != "" {
		all["otherIds"] = []map[string]any{{"identifiant": a.NationalID, "origine": a.IDType, "qualite": 1}}
	}
	all["SubjectRefPro"] = referenceOf(a, profession, at, structures)
}

// authMode is the word of Pro Santé Connect for how the person signed in; empty: it has none.
func authMode(v store.Session) string {
	switch {
	case slices.Contains(v.AMR, "sc"):
		return "CARD"
	case v.Method == "qr", v.Method == "psc" && slices.Contains(v.AMR, "mfa"):
		return "MOBILE"
	}
	return ""
}

// referenceOf is the one situation in which the person works now; or, where it is not known, all structures of the record.
func referenceOf(a store.Account, profession string, at *work, structures []store.Structure) reference {
	e := exercise{Profession: profession, FamilyName: a.FamilyName, GivenName: a.GivenName, Activities: []activity{}}
	if at != nil {
		e.Category, e.Speciality = at.Category, at.Speciality
		e.Activities = append(e.Activities, activity{
			Mode: at.Mode, Sector: at.Sector, Role: at.Role, Technical: at.TechnicalID, Structure: at.StructureID, Name: at.StructureName, Town: at.Place,
		})
		return reference{[]exercise{e}}
	}
	for _, s := range structures {
		e.Activities = append(e.Activities, activity{Structure: s.ID, Name: s.Name})
	}
	return reference{[]exercise{e}}
}
