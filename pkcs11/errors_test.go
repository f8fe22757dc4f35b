package pkcs11_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"promess/authgw/pkcs11"
)

// sentinels are the errors that a code may stand for.
func sentinels() []error {
	return []error{
		pkcs11.ErrPINShape, pkcs11.ErrPINIncorrect, pkcs11.ErrPINInvalid, pkcs11.ErrPINLocked, pkcs11.ErrPINExpired, pkcs11.ErrNotLoggedIn,
		pkcs11.ErrTokenRemoved, pkcs11.ErrMechanism, pkcs11.ErrCancelled, pkcs11.ErrStalled, pkcs11.ErrCrashed, pkcs11.ErrClosed,
		pkcs11.ErrModuleLoad, pkcs11.ErrNoService, pkcs11.ErrNoReader, pkcs11.ErrNoToken, pkcs11.ErrNoCertificate, pkcs11.ErrKeyNotFound,
		pkcs11.ErrWrongSignature,
	}
}

// codesOfTheHeader reads the CKR_* of the header that the bindings carry, which is that of OASIS.
func codesOfTheHeader(t *testing.T) map[string]uint {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "pkcs11t.h"))
	if err != nil {
		t.Fatal(err)
	}
	codes := make(map[string]uint)
	for _, m := range regexp.MustCompile(`(?m)^#define\s+(CKR_\w+)\s+(0x[0-9A-Fa-f]+)UL`).FindAllStringSubmatch(string(text), -1) {
		code, err := strconv.ParseUint(m[2], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		codes[m[1]] = uint(code)
	}
	if len(codes) < 90 {
		t.Fatalf("only %d codes in the header", len(codes))
	}
	return codes
}

func TestEveryCodeHasItsNameAndOneMeaning(t *testing.T) {
	meanings := map[string]error{
		"CKR_PIN_INCORRECT":              pkcs11.ErrPINIncorrect,
		"CKR_PIN_INVALID":                pkcs11.ErrPINInvalid,
		"CKR_PIN_LEN_RANGE":              pkcs11.ErrPINInvalid,
		"CKR_PIN_LOCKED":                 pkcs11.ErrPINLocked,
		"CKR_PIN_EXPIRED":                pkcs11.ErrPINExpired,
		"CKR_USER_PIN_NOT_INITIALIZED":   pkcs11.ErrPINExpired,
		"CKR_USER_NOT_LOGGED_IN":         pkcs11.ErrNotLoggedIn,
		"CKR_DEVICE_REMOVED":             pkcs11.ErrTokenRemoved,
		"CKR_TOKEN_NOT_PRESENT":          pkcs11.ErrTokenRemoved,
		"CKR_SESSION_CLOSED":             pkcs11.ErrTokenRemoved,
		"CKR_SESSION_HANDLE_INVALID":     pkcs11.ErrTokenRemoved,
		"CKR_MECHANISM_INVALID":          pkcs11.ErrMechanism,
		"CKR_MECHANISM_PARAM_INVALID":    pkcs11.ErrMechanism,
		"CKR_KEY_TYPE_INCONSISTENT":      pkcs11.ErrMechanism,
		"CKR_KEY_FUNCTION_NOT_PERMITTED": pkcs11.ErrMechanism,
		"CKR_KEY_SIZE_RANGE":             pkcs11.ErrMechanism,
		"CKR_FUNCTION_NOT_SUPPORTED":     pkcs11.ErrMechanism,
		"CKR_DATA_INVALID":               pkcs11.ErrMechanism,
		"CKR_DATA_LEN_RANGE":             pkcs11.ErrMechanism,
		"CKR_CANCEL":                     pkcs11.ErrCancelled,
		"CKR_FUNCTION_CANCELED":          pkcs11.ErrCancelled,
	}
	codes := codesOfTheHeader(t)
	for name := range meanings {
		if _, ok := codes[name]; !ok {
			t.Errorf("the header has no %s", name)
		}
	}
	for name, code := range codes {
		err := &pkcs11.Error{Op: "C_Sign", Code: code}
		if want := fmt.Sprintf("C_Sign: %s (0x%x)", name, code); err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
		for _, s := range sentinels() {
			if got, want := errors.Is(err, s), s == meanings[name]; got != want {
				t.Errorf("%s is %q: %v, want %v", name, s, got, want)
			}
		}
	}
}

func TestUnknownCodeIsShownAndMeansNothing(t *testing.T) {
	for _, code := range []uint{0x7fffffff, 0x80000001, 0x8000_00A0} {
		err := &pkcs11.Error{Op: "C_Login", Code: code}
		if want := "C_Login: unknown code 0x" + strconv.FormatUint(uint64(code), 16); err.Error() != want {
			t.Errorf("error = %q, want %q", err, want)
		}
		for _, s := range sentinels() {
			if errors.Is(err, s) {
				t.Errorf("0x%x is %q", code, s)
			}
		}
	}
}
