package pscstub

import "log/slog"

// The keys of the persons of People.
const (
	Doctor    = "doctor"    // one exercise, one situation; also the holder of the demonstration's card
	TwoPlaces = "twoplaces" // a doctor with two situations: a practice of her own, and a hospital
	Nurse     = "nurse"
	Secretary = "secretary" // no RPPS, and hardly any userinfo
)

// Person is somebody who does not exist.
type Person struct {
	Key   string // what chooses the person
	Label string // on the page

	Sub    string // a UUID
	NameID string // SubjectNameID
	Given  string
	Family string

	// Userinfo is what else the userinfo endpoint says, without sub and SubjectNameID.
	Userinfo map[string]any
}

var _ slog.LogValuer = Person{}

// LogValue gives an opaque id, as for persons who exist.
func (p Person) LogValue() slog.Value { return slog.StringValue(p.Sub) }

// Claims returns what the userinfo endpoint says of the person.
func (p Person) Claims() map[string]any {
	all := map[string]any{
		"sub": p.Sub, "SubjectNameID": p.NameID, "PSISubjectNameID": "", "preferred_username": p.NameID,
		"given_name": p.Given, "family_name": p.Family, "email_verified": false,
	}
	for name, value := range p.Userinfo {
		all[name] = value
	}
	return all
}

// TokenClaims returns what tokens say of the person.
func (p Person) TokenClaims() map[string]any {
	return map[string]any{
		"SubjectNameID": p.NameID, "PSISubjectNameID": "", "preferred_username": p.NameID, "authMode": "CARD", "auth_level": "1",
		"otherIds": p.otherIDs(),
	}
}

func (p Person) otherIDs() []any {
	if len(p.NameID) == 12 && p.NameID[0] == '8' {
		return []any{map[string]any{"identifiant": p.NameID, "origine": "RPPS", "qualite": 1}}
	}
	return []any{}
}

// People returns the persons whom the page offers by default. Names, numbers and places are made up.
func People() []Person {
	practice := activity{mode: "L", sector: "SA07", structure: "R999001", name: "CABINET DES TILLEULS (FICTIF)", street: "DES TILLEULS", town: "35000 RENNES"}
	hospital := activity{mode: "S", sector: "SA01", structure: "F990000012", name: "HOPITAL DE LA DEMONSTRATION (FICTIF)", finess: "990000012", street: "DU PORT", town: "29200 BREST"}
	home := activity{mode: "L", sector: "SA07", structure: "R999002", name: "CABINET INFIRMIER DU LAC (FICTIF)", street: "DU LAC", town: "74000 ANNECY"}

	doctor := Person{Key: Doctor, Label: "Jeanne MARTIN, médecin", Sub: "5b0e6a0e-51c4-4c55-9a40-6f9d1f6f2a01", NameID: "899700218896", Given: "JEANNE", Family: "MARTIN"}
	doctor.Userinfo = doctor.professional("MME", "DR", "10", "SM26", practice)

	two := Person{Key: TwoPlaces, Label: "Claire DUPRÉ, médecin, deux lieux d’exercice", Sub: "5b0e6a0e-51c4-4c55-9a40-6f9d1f6f2a02", NameID: "899700990015", Given: "CLAIRE", Family: "DUPRÉ"}
	two.Userinfo = two.professional("MME", "DR", "10", "SM54", practice, hospital)

	nurse := Person{Key: Nurse, Label: "Yann LE BIHAN, infirmier", Sub: "5b0e6a0e-51c4-4c55-9a40-6f9d1f6f2a03", NameID: "899700990023", Given: "YANN", Family: "LE BIHAN"}
	nurse.Userinfo = nurse.professional("M", "", "60", "", home)

	// Somebody of a structure has no entry in the directory of professionals, so that nearly everything is missing.
	secretary := Person{Key: Secretary, Label: "Sophie NOËL, secrétaire", Sub: "5b0e6a0e-51c4-4c55-9a40-6f9d1f6f2a04", NameID: "30B9990001/CPET0002", Given: "SOPHIE", Family: "NOËL"}
	secretary.Userinfo = map[string]any{"SubjectOrganization": "CABINET DES TILLEULS (FICTIF)", "Acces_Regulation_Medicale": "FAUX"}

	return []Person{doctor, two, nurse, secretary}
}

// activity is a place where somebody works.
type activity struct{ mode, sector, structure, name, finess, street, town string }

// professional returns the userinfo of somebody in the directory, shaped as PSC's: what is unknown is there and empty.
func (p Person) professional(title, practising, profession, speciality string, places ...activity) map[string]any {
	kind := ""
	if speciality != "" {
		kind = "S"
	}
	var activities []any
	for _, place := range places {
		activities = append(activities, place.claims())
	}
	return map[string]any{
		"Secteur_Activite": places[0].sector + "^1.2.250.1.71.4.2.4", "SubjectOrganization": places[0].name,
		"SubjectOrganizationID": places[0].structure, "SubjectRole": []any{profession + "^1.2.250.1.213.1.1.5.5"},
		"Mode_Acces_Raison": "", "Acces_Regulation_Medicale": "FAUX", "UITVersion": "1.0", "authMode": "CARD",
		"Palier_Authentification": "APPPRIP3^1.2.250.1.213.1.5.1.1.1", "PSI_Locale": "1.2.250.1.213.1.3.1.1", "otherIds": p.otherIDs(),
		"SubjectRefPro": map[string]any{
			"codeCivilite": title,
			"exercices": []any{map[string]any{
				"codeProfession": profession, "codeCategorieProfessionnelle": "C", "codeCiviliteDexercice": practising,
				"nomDexercice": p.Family, "prenomDexercice": p.Given, "codeTypeSavoirFaire": kind, "codeSavoirFaire": speciality,
				"activities": activities,
			}},
		},
	}
}

func (a activity) claims() map[string]any {
	all := map[string]any{
		"codeModeExercice": a.mode, "codeSecteurDactivite": a.sector, "codeGenreActivite": "GENR01",
		"identifiantTechniqueDeLaStructure": a.structure, "raisonSocialeSite": a.name, "numeroFinessSite": a.finess,
		"numeroVoie": "1", "codeTypeDeVoie": "R", "libelleVoie": a.street, "bureauCedex": a.town, "codePostal": a.town[:5], "codePays": "99000",
	}
	for _, name := range []string{
		"codeSectionPharmacien", "codeRole", "numeroSiretSite", "numeroSirenSite", "numeroFinessetablissementJuridique",
		"enseigneCommercialeSite", "complementDestinataire", "complementPointGeographique", "indiceRepetitionVoie", "mentionDistribution",
		"codeCommune", "telephone", "telephone2", "telecopie", "adresseEMail", "codeDepartement", "ancienIdentifiantDeLaStructure",
		"autoriteDenregistrement",
	} {
		all[name] = ""
	}
	return all
}
