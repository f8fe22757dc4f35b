package pkcs11

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/pkcs11"
)

// What can go wrong, as far as a caller would act on it. The errors of this package wrap one of these, or are an *Error that
// errors.Is matches with one of these, or neither: then the text, with the code of the module, is all that is known.
var (
	ErrPINShape       = errors.New("the PIN has not the digits or the length that the card takes") // it never reached the card
	ErrPINIncorrect   = errors.New("wrong PIN")
	ErrPINInvalid     = errors.New("the card does not take a PIN of this form")
	ErrPINLocked      = errors.New("the PIN is locked")
	ErrPINExpired     = errors.New("the PIN must be set or changed first")
	ErrNotLoggedIn    = errors.New("no PIN was given to the token")
	ErrTokenRemoved   = errors.New("the card was removed")
	ErrMechanism      = errors.New("the token cannot sign this way")
	ErrCancelled      = errors.New("cancelled by the person")
	ErrStalled        = errors.New("the PKCS#11 module did not answer in time")
	ErrCrashed        = errors.New("the process of the PKCS#11 module ended by itself")
	ErrClosed         = errors.New("the PKCS#11 module is closed")
	ErrModuleLoad     = errors.New("the PKCS#11 module cannot be loaded")
	ErrNoService      = errors.New("the smart card service does not run")
	ErrNoReader       = errors.New("no card reader")
	ErrNoToken        = errors.New("no card in a reader")
	ErrNoCertificate  = errors.New("no authentication certificate on the card")
	ErrKeyNotFound    = errors.New("the token shows no private key for the certificate")
	ErrWrongSignature = errors.New("the signature of the token does not match its certificate")
)

// Error is a call that the module refused.
type Error struct {
	Op   string // the function: "C_Login"
	Code uint   // CKR_*
}

// Error names the code as PKCS#11 does, or shows its number when it is unknown or of the vendor.
func (e *Error) Error() string {
	if name := codeName(e.Code); name != "" {
		return fmt.Sprintf("%s: %s (0x%x)", e.Op, name, e.Code)
	}
	return fmt.Sprintf("%s: unknown code 0x%x", e.Op, e.Code)
}

// Is matches the sentinel that the code stands for. An unknown code matches none: in particular it is never a wrong PIN.
func (e *Error) Is(target error) bool {
	return target == sentinel(e.Code)
}

func sentinel(code uint) error {
	switch code {
	case pkcs11.CKR_PIN_INCORRECT:
		return ErrPINIncorrect
	case pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE:
		return ErrPINInvalid
	case pkcs11.CKR_PIN_LOCKED:
		return ErrPINLocked
	case pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_USER_PIN_NOT_INITIALIZED:
		return ErrPINExpired
	case pkcs11.CKR_USER_NOT_LOGGED_IN:
		return ErrNotLoggedIn
	// Only we open and close sessions, so a session that is gone went with its card.
	case pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_SESSION_HANDLE_INVALID:
		return ErrTokenRemoved
	case pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_MECHANISM_PARAM_INVALID, pkcs11.CKR_KEY_TYPE_INCONSISTENT,
		pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED, pkcs11.CKR_KEY_SIZE_RANGE, pkcs11.CKR_FUNCTION_NOT_SUPPORTED,
		pkcs11.CKR_DATA_INVALID, pkcs11.CKR_DATA_LEN_RANGE:
		return ErrMechanism
	case pkcs11.CKR_CANCEL, pkcs11.CKR_FUNCTION_CANCELED:
		return ErrCancelled
	}
	return nil
}

// codeName returns the CKR_ name of code, or "" when PKCS#11 has none for it.
func codeName(code uint) string {
	if name := newerCodes[code]; name != "" {
		return name
	}
	text := pkcs11.Error(code).Error() // "pkcs11: 0xA0: CKR_PIN_INCORRECT"
	if i := strings.LastIndex(text, "CKR_"); i >= 0 {
		return text[i:]
	}
	return ""
}
