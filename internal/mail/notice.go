package mail

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"
)

// Kind says what a Notice is about. Its word names the templates.
type Kind string

// The kinds of notices, with the fields that each needs beside At. Source, Browser and Service are shown where they are known.
const (
	LoginCode      Kind = "login_code"      // Code, Valid, Source
	FactorAdded    Kind = "factor_added"    // Factor; Name where there is one
	FactorRemoved  Kind = "factor_removed"  // Factor; Name where there is one
	RecoveryUsed   Kind = "recovery_used"   // Left
	CodesRefused   Kind = "codes_refused"   // Source: somebody who has the password guesses at the second factor
	AddressChanged Kind = "address_changed" // NewAddress. Goes to the old one
	Invitation     Kind = "invitation"      // Path, Valid
)

// Factor is a means to sign in with, as notices name it.
type Factor string

// The factors that notices have words for.
const (
	FactorPassword      Factor = "password"
	FactorTOTP          Factor = "totp" // an app that shows six digits
	FactorRecoveryCodes Factor = "recovery_codes"
	FactorPasskey       Factor = "passkey" // of a workstation
	FactorPhone         Factor = "phone"   // the gateway's app on a phone
)

// Notice is a message that nobody waits for, so that it may wait in an outbox (package outbox). What a person or a browser said of itself (Name, Browser)
// is text in it and never markup (D20).
type Notice struct {
	Kind     Kind
	Language string    // fr or en, of whoever gets it; anything else is fr
	At       time.Time // when the code was asked for, or that happened which the notice tells of

	Source  string `json:",omitempty"` // network address that did it; empty: it was done by the support
	Browser string `json:",omitempty"` // its short name (web.BrowserName)
	Service string `json:",omitempty"` // title of the service that is signed in to; empty: the gateway itself

	Code       string        `json:",omitempty"` // eight digits, without a space
	Valid      time.Duration `json:",omitempty"` // how long after At the code or the link is good; it is not sent later
	Factor     Factor        `json:",omitempty"`
	Name       string        `json:",omitempty"` // that the person gave to the device
	Left       int           `json:",omitempty"` // recovery codes that are left
	NewAddress string        `json:",omitempty"` // only a part of it is shown
	Path       string        `json:",omitempty"` // of the page to open, with its token: /activate/…; the origin is the configuration's (B6)
}

// LogValue keeps codes, links and what is known of the person out of logs.
func (n Notice) LogValue() slog.Value { return slog.StringValue(string(n.Kind)) }

// noticeLife is how long a notice without Valid is worth sending.
const noticeLife = 48 * time.Hour

// Expires is when the notice is not worth sending any more.
func (n Notice) Expires() time.Time {
	if n.Valid > 0 {
		return n.At.Add(n.Valid)
	}
	return n.At.Add(noticeLife)
}

// Opens says whether whoever reads the notice gets in somewhere with it.
func (n Notice) Opens() bool { return n.Kind == LoginCode || n.Kind == Invitation }

var (
	codeForm = regexp.MustCompile(`^[0-9]{8}$`)
	pathForm = regexp.MustCompile(`^/[A-Za-z0-9_~-][A-Za-z0-9_~/?=&.-]*$`) // never //host, and nothing that ends a link
)

// Check says what a caller forgot. It repeats nothing of the notice.
func (n Notice) Check() error {
	if n.At.IsZero() {
		return errors.New("no time")
	}
	ok := false
	switch n.Kind {
	case LoginCode:
		ok = codeForm.MatchString(n.Code) && n.Valid >= time.Minute && n.Source != ""
	case FactorAdded, FactorRemoved:
		ok = factorWords(n.Factor, languages[0]) != ""
	case RecoveryUsed:
		ok = n.Left >= 0
	case CodesRefused:
		ok = n.Source != ""
	case AddressChanged:
		ok = Mask(n.NewAddress) != ""
	case Invitation:
		ok = pathForm.MatchString(n.Path) && n.Valid >= time.Hour
	default:
		return errors.New("a kind that is not known")
	}
	if !ok {
		return fmt.Errorf("%s: what it is to say is missing or malformed", n.Kind)
	}
	return nil
}

// factorWords names a factor within a sentence; empty for one that is not known.
func factorWords(f Factor, lang string) string {
	return map[string]map[Factor]string{
		"fr": {
			FactorPassword: "mot de passe", FactorTOTP: "application qui affiche un code à six chiffres", FactorRecoveryCodes: "codes de secours",
			FactorPasskey: "clé d’accès de l’ordinateur", FactorPhone: "téléphone",
		},
		"en": {
			FactorPassword: "password", FactorTOTP: "app that shows a code of six digits", FactorRecoveryCodes: "recovery codes",
			FactorPasskey: "passkey of the computer", FactorPhone: "telephone",
		},
	}[lang][f]
}

// subject is the line that a telephone shows while it is locked, and so says no more than what the message is about.
func subject(k Kind, lang string) string {
	return map[string]map[Kind]string{
		"fr": {
			addressCode: "Votre code pour vérifier votre adresse e-mail", LoginCode: "Votre code de connexion",
			FactorAdded: "Un moyen de connexion a été ajouté", FactorRemoved: "Un moyen de connexion a été retiré",
			RecoveryUsed: "Un code de secours a servi à se connecter", AddressChanged: "Votre adresse e-mail a été remplacée",
			CodesRefused: "Plusieurs codes ont été refusés", Invitation: "Activez votre accès",
		},
		"en": {
			addressCode: "Your code to verify your email address", LoginCode: "Your sign-in code",
			FactorAdded: "A means to sign in was added", FactorRemoved: "A means to sign in was removed",
			RecoveryUsed: "A recovery code was used to sign in", AddressChanged: "Your email address was replaced",
			CodesRefused: "Several codes were refused", Invitation: "Activate your access",
		},
	}[lang][k]
}

// view is what the templates say of a notice.
func (n Notice) view(lang string) view {
	v := view{
		At: moment(n.At, lang), Until: moment(n.At.Add(n.Valid), lang), Minutes: int(n.Valid.Round(time.Minute).Minutes()), Hours: int(n.Valid.Hours()),
		Source: n.Source, Browser: n.Browser, Service: n.Service,
		Factor: factorWords(n.Factor, lang), Name: n.Name, Left: n.Left, NewAddress: Mask(n.NewAddress), path: n.Path,
	}
	if codeForm.MatchString(n.Code) {
		v.Code = n.Code[:4] + " " + n.Code[4:]
	}
	return v
}
