package dialog

import (
	"fmt"
	"strings"

	"promess/authgw/internal/agent"
)

// words are the texts of the dialog in one language.
type words struct {
	title   string // gateway
	card    string // holder
	gateway string // title, origin
	ask     string // digits
	prompt  string
	wrong   string
	last    string
	shape   string // digits
	digits  string // number
	between string // least, most
	ok      string
	cancel  string
}

// french and english are constants in all but name.
func french() words {
	return words{
		title:   "Code porteur – %s",
		card:    "Carte de %s",
		gateway: "Connexion à %s\n%s",
		ask:     "Saisissez le code porteur de votre carte (%s).",
		prompt:  "Code porteur :",
		wrong:   "Code incorrect.",
		last:    "Attention, dernier essai : un code incorrect bloquera la carte.",
		shape:   "Le code porteur a %s. Rien n’a été envoyé à la carte.",
		digits:  "%d chiffres",
		between: "%d à %d chiffres",
		ok:      "Valider",
		cancel:  "Annuler",
	}
}

func english() words {
	return words{
		title:   "Card PIN – %s",
		card:    "Card of %s",
		gateway: "Sign-in to %s\n%s",
		ask:     "Type the PIN of your card (%s).",
		prompt:  "PIN:",
		wrong:   "Wrong PIN.",
		last:    "Careful, last try: a wrong PIN will lock the card.",
		shape:   "The PIN has %s. Nothing was sent to the card.",
		digits:  "%d digits",
		between: "%d to %d digits",
		ok:      "OK",
		cancel:  "Cancel",
	}
}

// language chooses as setlocale(3) does for messages. French, unless the desktop speaks English.
func language(getenv func(string) string) words {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := getenv(name); v != "" {
			if strings.HasPrefix(v, "en") {
				return english()
			}
			break
		}
	}
	return french()
}

func (w words) heading(r agent.PINRequest) string { return fmt.Sprintf(w.title, r.Gateway) }

// body says whose card it is, who asks, and what to type.
func (w words) body(r agent.PINRequest) string {
	return strings.Join([]string{
		fmt.Sprintf(w.gateway, r.Gateway, r.Origin),
		fmt.Sprintf(w.card, r.Holder),
		fmt.Sprintf(w.ask, w.length(r)),
	}, "\n")
}

// warning is what went wrong before, or will: empty at a first, ordinary question.
func (w words) warning(r agent.PINRequest) string {
	var parts []string
	if r.Wrong {
		parts = append(parts, w.wrong)
	}
	if r.Shape {
		parts = append(parts, fmt.Sprintf(w.shape, w.length(r)))
	}
	if r.Last {
		parts = append(parts, w.last)
	}
	return strings.Join(parts, "\n")
}

func (w words) length(r agent.PINRequest) string {
	if r.Min == r.Max {
		return fmt.Sprintf(w.digits, r.Min)
	}
	return fmt.Sprintf(w.between, r.Min, r.Max)
}
