package password_test

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"promess/authgw/internal/password"
)

func TestPolicy(t *testing.T) {
	jeanne := []string{"Jeanne-Zoé", "de Martin", "810101234567", "jeanne.martin@hopital.mssante.example", "jmartin", ""}
	for _, tt := range []struct {
		name, password string
		want           password.Reason
	}{
		{"four words", secret, ""},
		{"twelve characters", "azertyuiop12", ""},
		{"eleven characters, in more bytes", "éééééééééé1", password.TooShort},
		{"eleven characters, written as twenty-two", strings.Repeat("e\u0301", 11), password.TooShort},
		{"one character that NFKC makes eighteen of", "\ufdfa", password.TooShort},
		{"empty", "", password.TooShort},
		{"128 characters", strings.Repeat("ab é", 32), ""},
		{"129 characters", strings.Repeat("ab é", 32) + "1", password.TooLong},
		{"a megabyte", strings.Repeat("a", 1<<20), password.TooLong},
		{"no rules about kinds of characters", "aaaaaaaaaaaa aaaaaaaa", ""},
		{"a control character", "azerty\x00uiop123", password.Malformed},
		{"no UTF-8", "azertyuiop123\xff", password.Malformed},
		{"the names", "Jeanne Martin", password.Personal},
		{"the names in other letters, and a year", "MARTIN.jeanne1975", password.Personal},
		{"a name without its accent", "jeanne-zoe-martin", password.Personal},
		{"the identifier", "810101234567", password.Personal},
		{"the address", "jeanne.martin@hopital.mssante.example", password.Personal},
		{"the login name and little more", "jmartin2026!!!", password.Personal},
		{"a name among much else", "le martin-pêcheur est bleu", ""},
		{"a short word of a name", "dedededededede", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := password.Policy{}.Check(tt.password, jeanne)
			if err != nil || got != tt.want {
				t.Errorf("Check = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if got, err := (password.Policy{MinLength: 15}).Check("azertyuiop1234", nil); err != nil || got != password.TooShort {
		t.Errorf("fourteen characters where fifteen are asked for = %q, %v", got, err)
	}
}

func list(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "breached.txt")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func breached(t testing.TB, content string) *password.Breached {
	t.Helper()
	b, err := password.OpenBreached(list(t, content))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// hashes writes passwords as haveibeenpwned.com does.
func hashes(passwords ...string) []string {
	var lines []string
	for i, p := range passwords {
		lines = append(lines, fmt.Sprintf("%X:%d", sha1.Sum([]byte(p)), i*i))
	}
	slices.Sort(lines)
	return lines
}

func TestBreached(t *testing.T) {
	known := []string{"motdepasse1234", "azertyuiop123456", "caf\u00e9caf\u00e9caf\u00e9", "password with spaces"}
	lines := hashes(known...)
	for name, content := range map[string]string{
		"passwords":                         strings.Join(known, "\n") + "\n",
		"passwords, as Windows writes them": strings.Join(known, "\r\n"),
		"hashes":                            strings.Join(lines, "\n") + "\n",
		"hashes, as Windows writes them":    strings.Join(lines, "\r\n") + "\r\n",
		"hashes without a last line end":    strings.Join(lines, "\n"),
		"hashes in small letters":           strings.ToLower(strings.Join(lines, "\n")),
		"hashes without numbers":            strings.Join(slices.Collect(each(lines, func(l string) string { return l[:40] })), "\n"),
	} {
		t.Run(name, func(t *testing.T) {
			p := password.Policy{Breached: breached(t, content)}
			for _, bad := range append(known, "MotDePasse1234", "cafe\u0301caf\u00e9caf\u00e9") {
				if got, err := p.Check(bad, nil); err != nil || got != password.InList {
					t.Errorf("Check(%q) = %q, %v, want %q", bad, got, err, password.InList)
				}
			}
			for _, good := range []string{secret, "motdepasse12345", "otdepasse1234motdepasse"} {
				if got, err := p.Check(good, nil); err != nil || got != "" {
					t.Errorf("Check(%q) = %q, %v, want none", good, got, err)
				}
			}
		})
	}
}

func each(lines []string, do func(string) string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, l := range lines {
			if !yield(do(l)) {
				return
			}
		}
	}
}

// Every line is found, the first and the last too, and nothing that is not there, whatever the number of lines.
func TestBreachedFindsEveryLine(t *testing.T) {
	for n := 1; n <= 4096; n = n*2 + 1 {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprint("password number ", i))
		}
		b := breached(t, strings.Join(hashes(all...), "\n")+"\n")
		for i := range n {
			in, err := b.Contains(all[i])
			out, err2 := b.Contains(all[i] + "!")
			if err != nil || err2 != nil || !in || out {
				t.Fatalf("of %d lines, %q is there: %t, %v, and another: %t, %v", n, all[i], in, err, out, err2)
			}
		}
	}
}

func TestBreachedListThatIsNone(t *testing.T) {
	lines := hashes(strings.Split("abcdefghijklmnopqrstuvwxyz", "")...)
	slices.Reverse(lines)
	reversed := strings.Join(lines, "\n")
	slices.Reverse(lines)
	for _, tt := range []struct{ name, content, want string }{
		{"empty", "", "it is empty"},
		{"line ends alone", "\n\n\r\n", "there is no password in it"},
		{"not sorted", reversed, "sorted lines of HASH:COUNT expected"},
		{"hashes first, and passwords then", lines[0] + "\nmotdepasse\nazerty\n", "sorted lines of HASH:COUNT expected"},
		{"hashes and then one endless line", lines[0] + "\n" + strings.Repeat("A", 1000), "sorted lines of HASH:COUNT expected"},
		{"one endless line", strings.Repeat("A", 3000), "one password a line expected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := password.OpenBreached(list(t, tt.content))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("OpenBreached = %v, %v, want %q", b, err, tt.want)
			}
		})
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		if b, err := password.OpenBreached(name); err == nil {
			t.Errorf("OpenBreached(%s) = %v", name, b)
		}
	}
}

// A list that can no longer be read lets no password through.
func TestBreachedListThatIsCutWhileItIsOpen(t *testing.T) {
	var all []string
	for i := range 1000 {
		all = append(all, fmt.Sprint("password number ", i))
	}
	name := list(t, strings.Join(hashes(all...), "\n"))
	b, err := password.OpenBreached(name)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := os.Truncate(name, 10); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{all[0], secret} {
		if got, err := (password.Policy{Breached: b}).Check(p, nil); err == nil {
			t.Errorf("Check(%q) = %q, want an error", p, got)
		}
	}
}

// FuzzBreached: no file breaks the search, and one that is sorted is searched rightly.
func FuzzBreached(f *testing.F) {
	lines := hashes("a", "b", "c", "d", "e")
	f.Add([]byte(strings.Join(lines, "\n")), "c")
	f.Add([]byte(strings.Join(lines, "\r\n")+"\r\n"), "z")
	f.Add([]byte("motdepasse\nazerty"), "azerty")
	f.Fuzz(func(t *testing.T, content []byte, p string) {
		b, err := password.OpenBreached(list(t, string(content)))
		if err != nil {
			return
		}
		defer b.Close()
		got, err := b.Contains(p)
		sum := sha1.Sum([]byte(p))
		if err == nil && got && !bytes.Contains(bytes.ToUpper(content), fmt.Appendf(nil, "%X", sum)) && !bytes.Contains(content, []byte(p)) &&
			!bytes.Contains(content, []byte(strings.ToLower(p))) && !bytes.Contains(bytes.ToUpper(content), fmt.Appendf(nil, "%X", sha1.Sum([]byte(strings.ToLower(p))))) {
			t.Errorf("%q is found where it is not", p)
		}
	})
}

// BenchmarkBreached looks a password up in a list of a million hashes.
func BenchmarkBreached(b *testing.B) {
	var all []string
	for i := range 1_000_000 {
		all = append(all, fmt.Sprint("password number ", i))
	}
	known := breached(b, strings.Join(hashes(all...), "\n"))
	b.ReportAllocs()
	for b.Loop() {
		if in, err := known.Contains(secret); in || err != nil {
			b.Fatal(in, err)
		}
	}
}
