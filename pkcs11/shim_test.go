package pkcs11_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/pkcs11"
)

// Numbers of mechanisms (PKCS #11 v2.40, mechanisms).
const (
	ckmRSAPKCS = "0x1"
	ckmAll     = "0x1,0x3,0xd" // with CKM_RSA_X_509 and CKM_RSA_PKCS_PSS
)

// shim is a token that does what its environment says: testdata/shim.c.
type shim struct {
	module string
	dir    string
	who    identity
	digest []byte // of which the shim returns the signature, PKCS #1 v1.5 with SHA-256
}

// newShim builds the module. env are its variables, without their "SHIM_".
func newShim(t testing.TB, env ...string) shim {
	t.Helper()
	s := shim{dir: t.TempDir(), who: newRSA(t), digest: make([]byte, 32)}
	s.module = filepath.Join(s.dir, "shim.so")
	headers, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	gcc := exec.Command("gcc", "-shared", "-fPIC", "-fvisibility=hidden", "-I", strings.TrimSpace(string(headers)), "-o", s.module, "testdata/shim.c")
	if out, err := gcc.CombinedOutput(); err != nil {
		t.Fatalf("gcc (Debian package gcc): %v\n%s", err, out)
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.who.key.(*rsa.PrivateKey), crypto.SHA256, s.digest)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "cert.der", s.who.cert.Raw)
	s.write(t, "signature", signature)
	t.Setenv("SHIM_DIR", s.dir)
	t.Setenv("SHIM_MECHANISMS", ckmRSAPKCS)
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv("SHIM_"+name, value)
	}
	return s
}

func (s shim) write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// calls returns what the shim noted.
func (s shim) calls(t testing.TB, prefix string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, prefix) {
			calls = append(calls, strings.TrimSpace(line))
		}
	}
	return calls
}

// stallSoonIf shortens the time of a call where it is known to hang. Elsewhere it stays long: machines are busy.
func stallSoonIf(hangs bool) func(*pkcs11.Config) {
	return func(c *pkcs11.Config) {
		if hangs {
			c.CallTimeout = 500 * time.Millisecond
		}
	}
}

func TestTokenThatOnlyDoesPKCS1(t *testing.T) {
	s := newShim(t)
	token := oneToken(t, start(t, s.module))
	if diff := cmp.Diff([]pkcs11.Mode{pkcs11.ModePKCS1}, token.Modes(token.Certificates[0])); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
	if _, err := token.Signer(token.Certificates[0], pkcs11.ModePSS); !errors.Is(err, pkcs11.ErrMechanism) {
		t.Errorf("Signer for PSS = %v, want ErrMechanism", err)
	}
	if err := token.Login(deadline(t), "1234"); err != nil {
		t.Fatal(err)
	}
	if err := sign(token); err != nil {
		t.Fatal(err)
	}
	// The module prints in every call and reads its standard input in the first: neither reached the conversation.
	if diff := cmp.Diff([]string{"stdin: -1"}, s.calls(t, "stdin")); diff != "" {
		t.Errorf("what the module read (-want +got):\n%s", diff)
	}
	data, err := os.ReadFile(filepath.Join(s.dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	// RFC 8017, section 9.2, note 1.
	want := "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20" + string(s.digest)
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("what was signed (-want +got):\n%s", diff)
	}
}

func TestListOfMechanismsThatLies(t *testing.T) {
	s := newShim(t, "MECHANISMS="+ckmAll, "C_SignInit=0x70")
	token := oneToken(t, start(t, s.module))
	if err := token.Login(deadline(t), "1234"); err != nil {
		t.Fatal(err)
	}
	if err := sign(token); !errors.Is(err, pkcs11.ErrMechanism) {
		t.Errorf("Sign = %v, want ErrMechanism", err)
	}
	if err := sign(token); !errors.Is(err, pkcs11.ErrMechanism) {
		t.Errorf("Sign once more = %v, want ErrMechanism: the module is still there", err)
	}
	if diff := cmp.Diff([]string{"login 1 1234"}, s.calls(t, "login")); diff != "" {
		t.Errorf("logins (-want +got):\n%s", diff)
	}
}

func TestNextModeNeedsNoSecondPIN(t *testing.T) {
	s := newShim(t, "MECHANISMS="+ckmAll, "REFUSED=0xd")
	token := oneToken(t, start(t, s.module))
	if err := token.Login(deadline(t), "1234"); err != nil {
		t.Fatal(err)
	}
	modes := token.Modes(token.Certificates[0])
	if diff := cmp.Diff([]pkcs11.Mode{pkcs11.ModePSS, pkcs11.ModeRawPSS, pkcs11.ModePKCS1}, modes); diff != "" {
		t.Fatalf("modes (-want +got):\n%s", diff)
	}
	if err := signIn(token, pkcs11.ModePSS); !errors.Is(err, pkcs11.ErrMechanism) {
		t.Errorf("Sign with PSS = %v, want ErrMechanism", err)
	}
	if err := signIn(token, pkcs11.ModePKCS1); err != nil {
		t.Errorf("Sign with PKCS #1 = %v", err)
	}
	if diff := cmp.Diff([]string{"login 1 1234"}, s.calls(t, "login")); diff != "" {
		t.Errorf("logins (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"mechanism 0xd", "mechanism 0x1"}, s.calls(t, "mechanism")); diff != "" {
		t.Errorf("mechanisms (-want +got):\n%s", diff)
	}
}

func TestWrongSignatureIsNotGivenOut(t *testing.T) {
	s := newShim(t)
	s.write(t, "signature", make([]byte, 256))
	token := oneToken(t, start(t, s.module))
	if err := token.Login(deadline(t), "1234"); err != nil {
		t.Fatal(err)
	}
	if err := sign(token); !errors.Is(err, pkcs11.ErrWrongSignature) {
		t.Errorf("Sign = %v, want ErrWrongSignature", err)
	}
}

func TestPINPad(t *testing.T) {
	s := newShim(t, "PAD=1")
	token := oneToken(t, start(t, s.module))
	if !token.PINPad {
		t.Fatal("PINPad = false")
	}
	if err := token.Login(deadline(t), "1234"); !errors.Is(err, pkcs11.ErrPINShape) {
		t.Errorf("Login with a PIN = %v, want ErrPINShape", err)
	}
	if err := token.Login(deadline(t), ""); err != nil {
		t.Errorf("Login on the pad = %v", err)
	}
	if diff := cmp.Diff([]string{"login 1 on the pad"}, s.calls(t, "login")); diff != "" {
		t.Errorf("logins (-want +got):\n%s", diff)
	}
}

func TestPINPadHasItsOwnTime(t *testing.T) {
	s := newShim(t, "PAD=1", "C_Login=hang")
	m := start(t, s.module, func(c *pkcs11.Config) { c.PadTimeout = 300 * time.Millisecond })
	token := oneToken(t, m)
	if err := token.Login(deadline(t), ""); !errors.Is(err, pkcs11.ErrStalled) {
		t.Errorf("Login = %v, want ErrStalled", err)
	}
}

func TestKeyThatAsksForItsPINEachTime(t *testing.T) {
	s := newShim(t, "ALWAYS=1")
	token := oneToken(t, start(t, s.module))
	if err := token.Login(deadline(t), "1234"); err != nil {
		t.Fatal(err)
	}
	if err := sign(token); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"login 1 1234", "login 2 1234"}, s.calls(t, "login")); diff != "" {
		t.Errorf("logins (-want +got):\n%s", diff)
	}
}

// Without a PIN there is none to repeat: an empty one would cost a try, or open the pad of some readers.
func TestKeyThatAsksForItsPINGetsNoEmptyOne(t *testing.T) {
	s := newShim(t, "ALWAYS=1", "VISIBLE=1")
	if err := sign(oneToken(t, start(t, s.module))); !errors.Is(err, pkcs11.ErrNotLoggedIn) {
		t.Errorf("Sign = %v, want ErrNotLoggedIn", err)
	}
	if got := s.calls(t, "login"); len(got) > 0 {
		t.Errorf("the module got %q, want no login", got)
	}
}

func TestRefusedLogins(t *testing.T) {
	tests := []struct {
		code string
		want error
		text string
	}{
		{"0xA0", pkcs11.ErrPINIncorrect, "C_Login: CKR_PIN_INCORRECT (0xa0)"},
		{"0xA1", pkcs11.ErrPINInvalid, "CKR_PIN_INVALID"},
		{"0xA2", pkcs11.ErrPINInvalid, "CKR_PIN_LEN_RANGE"},
		{"0xA3", pkcs11.ErrPINExpired, "CKR_PIN_EXPIRED"},
		{"0xA4", pkcs11.ErrPINLocked, "CKR_PIN_LOCKED"},
		{"0x102", pkcs11.ErrPINExpired, "CKR_USER_PIN_NOT_INITIALIZED"},
		{"0x1", pkcs11.ErrCancelled, "CKR_CANCEL"},
		{"0x50", pkcs11.ErrCancelled, "CKR_FUNCTION_CANCELED"},
		{"0x32", pkcs11.ErrTokenRemoved, "CKR_DEVICE_REMOVED"},
		{"0xE0", pkcs11.ErrTokenRemoved, "CKR_TOKEN_NOT_PRESENT"},
		{"0x30", nil, "CKR_DEVICE_ERROR"},
		{"0x80000123", nil, "unknown code 0x80000123"},
		{"crash", pkcs11.ErrCrashed, "ended by itself"},
		{"exit", pkcs11.ErrCrashed, "exit status 3"},
		{"hang", pkcs11.ErrStalled, "did not answer"},
	}
	s := newShim(t)
	for _, test := range tests {
		t.Run(test.code, func(t *testing.T) {
			t.Setenv("SHIM_C_Login", test.code)
			err := oneToken(t, start(t, s.module, stallSoonIf(test.code == "hang"))).Login(deadline(t), "1234")
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("Login = %v, want %v and %q in it", err, test.want, test.text)
			}
			if test.want == nil && errors.Is(err, pkcs11.ErrPINIncorrect) {
				t.Errorf("Login = %v: an unclear code is not a wrong PIN", err)
			}
			if strings.Contains(err.Error(), "1234") {
				t.Errorf("the PIN is in the error %q", err)
			}
			var refused *pkcs11.Error
			if errors.As(err, &refused) && refused.Op != "C_Login" {
				t.Errorf("the error names %s, want C_Login", refused.Op)
			}
		})
	}
}

func TestModuleThatFailsEarly(t *testing.T) {
	s := newShim(t)
	config := pkcs11.Config{Module: s.module, Command: command()}
	for what, want := range map[string]error{"hang": pkcs11.ErrStalled, "crash": pkcs11.ErrCrashed, "exit": pkcs11.ErrCrashed} {
		t.Setenv("SHIM_C_Initialize", what)
		config := config
		stallSoonIf(what == "hang")(&config)
		if _, err := pkcs11.Start(deadline(t), config); !errors.Is(err, want) {
			t.Errorf("Start of a module that does %q = %v, want %v", what, err, want)
		}
	}
	t.Setenv("SHIM_C_Initialize", "0x6")
	var refused *pkcs11.Error
	if _, err := pkcs11.Start(deadline(t), config); !errors.As(err, &refused) || refused.Op != "C_Initialize" || refused.Code != 6 {
		t.Errorf("Start = %v, want C_Initialize with code 6", err)
	}
}

func TestUnreadableTokenIsNoCertificate(t *testing.T) {
	for _, function := range []string{"C_GetTokenInfo", "C_OpenSession", "C_FindObjects", "C_GetAttributeValue", "C_GetMechanismList"} {
		t.Run(function, func(t *testing.T) {
			s := newShim(t, function+"=0xE1") // CKR_TOKEN_NOT_RECOGNIZED
			if _, err := start(t, s.module).Tokens(deadline(t)); !errors.Is(err, pkcs11.ErrNoCertificate) {
				t.Errorf("Tokens = %v, want ErrNoCertificate", err)
			}
		})
	}
}

func TestGarbageForACertificate(t *testing.T) {
	s := newShim(t)
	s.write(t, "cert.der", []byte("\x30\x82\xff\xff garbage"))
	if _, err := start(t, s.module).Tokens(deadline(t)); !errors.Is(err, pkcs11.ErrNoCertificate) {
		t.Errorf("Tokens = %v, want ErrNoCertificate", err)
	}
}
