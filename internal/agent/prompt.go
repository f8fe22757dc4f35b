package agent

import (
	"context"
)

// Prompter asks a person for the PIN in a dialog of the desktop.
type Prompter interface {
	// AskPIN returns what the person typed. It returns ErrCancelled when the person declined, and the context's error when
	// that ends first, with the dialog gone. Any other error says that no dialog could be shown: the PIN is then asked on
	// the agent's own page. An error never holds what was typed.
	AskPIN(ctx context.Context, request PINRequest) (string, error)
}

// PINRequest is what the person has to know before typing the PIN.
type PINRequest struct {
	Gateway string // its title
	Origin  string // its origin, as the configuration of the agent has it
	Holder  string // of the card
	Last    bool   // the next wrong PIN locks the card
	Wrong   bool   // the PIN before was wrong
	Shape   bool   // the one before was not given to the card: it was not Min to Max digits
	Min     int    // digits
	Max     int
}

// Limits of a PIN where the card does not say: a CPS has four digits, and no card more than sixteen.
const (
	defaultPINMin = 4
	defaultPINMax = 16
)

// pinBounds returns the number of digits that the card takes.
func pinBounds(info TokenInfo) (lo, hi int) {
	lo, hi = info.PINMin, info.PINMax
	if lo < 1 {
		lo = defaultPINMin
	}
	if hi < lo {
		hi = max(lo, defaultPINMax)
	}
	return lo, hi
}

// validPIN says whether a card may be given this PIN. A card counts letters as a wrong try, so they must not reach it; and
// an empty PIN would start the pad of some readers.
func validPIN(pin string, lo, hi int) bool {
	if pin == "" || len(pin) < lo || len(pin) > hi {
		return false
	}
	for _, c := range []byte(pin) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// ValidPIN says whether pin may be given to the card that info describes.
func ValidPIN(pin string, info TokenInfo) bool {
	lo, hi := pinBounds(info)
	return validPIN(pin, lo, hi)
}
