package dialog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/agent"
	"promess/authgw/internal/agent/dialog"
)

// fakeEnv makes the test binary a dialog program: its value says how it behaves.
const fakeEnv = "AUTHGW_TEST_DIALOG"

func TestMain(m *testing.M) {
	if how := os.Getenv(fakeEnv); how != "" {
		os.Exit(fake(how))
	}
	os.Exit(m.Run())
}

// environment is what Find looks at, without touching the process's.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// request has a title and a holder made to break dialogs: markup, a mnemonic, an escape, an option, a percent sign.
var request = agent.PINRequest{
	Gateway: `Hôpital <b>A</b> & B_c 100%`,
	Origin:  "https://connexion.example.test",
	Holder:  `Jeanne \n MARTIN`,
	Min:     4, Max: 4,
}

func TestFindChoosesTheFirstProgramThatIsThere(t *testing.T) {
	display := environment("DISPLAY", ":0")
	has := func(names ...string) func(string) (string, error) {
		return func(name string) (string, error) {
			for _, n := range names {
				if n == name {
					return "/bin/" + n, nil
				}
			}
			return "", os.ErrNotExist
		}
	}
	for _, test := range []struct {
		name   string
		config dialog.Config
		want   string // of the type; empty: the agent's page
		err    error
	}{
		{"page", dialog.Config{Kind: "page", Getenv: display, Look: has("zenity")}, "", nil},
		{"auto without a display", dialog.Config{Kind: "auto", Getenv: environment(), Look: has("zenity")}, "", nil},
		{"auto without a program", dialog.Config{Getenv: display, Look: has()}, "", nil},
		{"auto on X11", dialog.Config{Getenv: display, Look: has("zenity")}, "*dialog.command", nil},
		{"auto on Wayland", dialog.Config{Getenv: environment("WAYLAND_DISPLAY", "w"), Look: has("zenity")}, "*dialog.command", nil},
		{"auto prefers a graphical pinentry", dialog.Config{Getenv: display, Look: has("zenity", "pinentry-qt")}, "*dialog.pinentry", nil},
		{"auto prefers zenity to a pinentry that may be for terminals", dialog.Config{Getenv: display, Look: has("zenity", "pinentry")}, "*dialog.command", nil},
		{"a kind that is not installed", dialog.Config{Kind: "kdialog", Getenv: display, Look: has("zenity")}, "", dialog.ErrNoProgram},
		{"a program that is not there", dialog.Config{Kind: "zenity", Program: "/x", Getenv: display, Look: has()}, "", dialog.ErrNoProgram},
		{"a program of no kind", dialog.Config{Kind: "auto", Program: "/bin/zenity", Getenv: display, Look: has("/bin/zenity")}, "", dialog.ErrNoProgram},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := dialog.Find(test.config)
			got := ""
			if p != nil {
				got = fmt.Sprintf("%T", p)
			}
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("Find = %q %v, want %q %v", got, err, test.want, test.err)
			}
		})
	}
}

// find returns a dialog of a kind whose program is this test binary.
func find(t *testing.T, kind, how, lang string) (agent.Prompter, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(t.TempDir(), "record")
	t.Setenv(fakeEnv, how)
	t.Setenv("AUTHGW_TEST_RECORD", record)
	p, err := dialog.Find(dialog.Config{Kind: kind, Program: self, Getenv: environment("LANG", lang)})
	if err != nil {
		t.Fatal(err)
	}
	return p, record
}

func TestPrograms(t *testing.T) {
	for _, test := range []struct {
		name, kind, how string
		pin             string
		err             error
	}{
		{"pinentry gives a PIN", "pinentry", "pin", "4711", nil},
		{"pinentry gives an escaped PIN in two parts", "pinentry", "parts", "47%11", nil},
		{"pinentry is empty", "pinentry", "empty", "", nil},
		{"pinentry is cancelled", "pinentry", "cancel", "", agent.ErrCancelled},
		{"pinentry's window is closed", "pinentry", "closed", "", agent.ErrCancelled},
		{"pinentry times out by itself", "pinentry", "timeout", "", context.DeadlineExceeded},
		{"pinentry has no terminal", "pinentry", "notty", "", errOther},
		{"pinentry speaks without end", "pinentry", "endless", "", errOther},
		{"pinentry writes a line without end", "pinentry", "longline", "", errOther},
		{"pinentry ends", "pinentry", "exit", "", errOther},
		{"zenity gives a PIN", "zenity", "pin", "4711", nil},
		{"zenity is cancelled", "zenity", "cancel", "", agent.ErrCancelled},
		{"zenity times out by itself", "zenity", "timeout", "", context.DeadlineExceeded},
		{"zenity has no display", "zenity", "notty", "", errOther},
		{"zenity speaks without end", "zenity", "endless", "", errOther},
		{"kdialog gives a PIN", "kdialog", "pin", "4711", nil},
		{"kdialog is cancelled", "kdialog", "cancel", "", agent.ErrCancelled},
		{"kdialog has no display", "kdialog", "nodisplayqt", "", errOther},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, _ := find(t, test.kind, test.how, "fr_FR.UTF-8")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			pin, err := p.AskPIN(ctx, request)
			if pin != test.pin {
				t.Errorf("PIN = %q, want %q", pin, test.pin)
			}
			if test.err == errOther {
				if err == nil || errors.Is(err, agent.ErrCancelled) || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error = %v, want one that sends the question to the page", err)
				}
			} else if !errors.Is(err, test.err) {
				t.Errorf("error = %v, want %v", err, test.err)
			}
			if err != nil && strings.Contains(err.Error(), "4711") {
				t.Errorf("the error holds the PIN: %v", err)
			}
		})
	}
}

var errOther = errors.New("any other error")

func TestADialogEndsWithItsContext(t *testing.T) {
	for _, kind := range []string{"pinentry", "zenity", "kdialog"} {
		t.Run(kind, func(t *testing.T) {
			p, record := find(t, kind, "hang", "fr")
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { _, err := p.AskPIN(ctx, request); ended <- err }()
			waitFor(t, func() bool { _, err := os.Stat(record); return err == nil })
			cancel()
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error = %v, want context.Canceled", err)
				}
			case <-time.After(5 * time.Second):
				t.Error("the dialog did not end within 5 s of its context")
			}
		})
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatal("not within 20 s")
}

// What a program is told holds everything a person must know, and nothing that the program would interpret.
func TestTexts(t *testing.T) {
	last := request
	last.Last, last.Wrong = true, true
	shape := request
	shape.Shape, shape.Max = true, 8
	for _, test := range []struct {
		name, kind, lang string
		request          agent.PINRequest
		want             []string
		never            []string
	}{
		{"pinentry, first question, French", "pinentry", "fr_FR.UTF-8", request,
			[]string{"SETTITLE Code porteur – Hôpital <b>A</b> & B_c 100%25\n", "SETDESC Connexion à Hôpital", "%0Ahttps://connexion.example.test%0A",
				`Carte de Jeanne \n MARTIN%0A`, "(4 chiffres)", "SETPROMPT Code porteur :\n", "SETOK Valider\n", "SETCANCEL Annuler\n", "SETTIMEOUT ", "GETPIN\n"},
			[]string{"SETERROR", "SETKEYINFO"}},
		{"pinentry, last try", "pinentry", "", last, []string{"SETERROR Code incorrect.%0AAttention, dernier essai : un code incorrect bloquera la carte.\n"}, nil},
		{"pinentry, English", "pinentry", "en_GB.UTF-8", last, []string{"SETERROR Wrong PIN.%0ACareful, last try: a wrong PIN will lock the card.\n"}, nil},
		{"zenity, first question", "zenity", "fr", request,
			[]string{"--hide-text\n", "--title=Code porteur – Hôpital ‹b›A‹/b› ＆ B__c 100%\n", "Carte de Jeanne ⧵n MARTIN\n", "https://connexion.example.test\n", "--timeout="},
			[]string{"<", "&", "dernier essai"}},
		{"zenity, last try", "zenity", "fr", last, []string{"--text=Code incorrect.\nAttention, dernier essai"}, nil},
		{"zenity, wrong shape", "zenity", "fr", shape, []string{"Le code porteur a 4 à 8 chiffres. Rien n’a été envoyé à la carte."}, []string{"incorrect"}},
		{"kdialog, last try", "kdialog", "fr", last, []string{"--password\n", "dernier essai", "Carte de Jeanne", "Hôpital ‹b›A"}, []string{"<", "&"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, record := find(t, test.kind, "pin", test.lang)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if _, err := p.AskPIN(ctx, test.request); err != nil {
				t.Fatal(err)
			}
			told, err := os.ReadFile(record)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(string(told), want) {
					t.Errorf("told:\n%s\nwant %q in it", told, want)
				}
			}
			for _, never := range test.never {
				if strings.Contains(string(told), never) {
					t.Errorf("told:\n%s\nwant no %q in it", told, never)
				}
			}
		})
	}
}
