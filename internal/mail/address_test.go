package mail_test

import (
	netmail "net/mail"
	"strings"
	"testing"

	"promess/authgw/internal/mail"
)

// Lessons F8 (exactly one @) and D17 (one rule of case, wherever an address is compared).
func TestF8D17Addresses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{ // want empty: refused
		{"plain", "jeanne@example.fr", "jeanne@example.fr"},
		{"the domain has no case, the part before it is kept", "Jeanne.MARTIN@Example.FR", "Jeanne.MARTIN@example.fr"},
		{"signs that RFC 5322 allows", "j+x_y'z-{1}=?@sub.example.fr", "j+x_y'z-{1}=?@sub.example.fr"},
		{"digits", "1@1.fr", "1@1.fr"},

		{"empty", "", ""},
		{"no @", "jeanne.example.fr", ""},
		{"two @", "jeanne@example.fr@mssante.fr", ""},
		{"two @, the first quoted", `"jeanne@example.fr"@mssante.fr`, ""},
		{"nothing before the @", "@example.fr", ""},
		{"nothing after it", "jeanne@", ""},
		{"a name beside the address", "Jeanne <jeanne@example.fr>", ""},
		{"two addresses", "jeanne@example.fr,paul@example.fr", ""},
		{"a space", "jeanne martin@example.fr", ""},
		{"a line of a header", "jeanne@example.fr\r\nBcc: all@example.fr", ""},
		{"a line of a header before the @", "jeanne\nBcc:all@example.fr", ""},
		{"NUL", "jeanne\x00@example.fr", ""},
		{"a comment", "jeanne(x)@example.fr", ""},
		{"a route", "<@relay.example:jeanne@example.fr>", ""},
		{"the percent hack is one of a local part, and goes to that server alone", "jeanne%victim.fr@example.fr", "jeanne%victim.fr@example.fr"},
		{"dots in a row", "jeanne..martin@example.fr", ""},
		{"a dot at the end", "jeanne.@example.fr", ""},
		{"a domain of one label", "jeanne@localhost", ""},
		{"a domain with a final dot", "jeanne@example.fr.", ""},
		{"an IPv4 address", "jeanne@192.0.2.1", ""},
		{"an address literal", "jeanne@[192.0.2.1]", ""},
		{"a hyphen at the border", "jeanne@-example.fr", ""},
		{"a letter that lower-cases to ASCII", "jeanne@\u212Aelvin.fr", ""}, // the Kelvin sign
		{"a letter that looks like ASCII", "jeanne@ex\u0430mple.fr", ""},    // Cyrillic
		{"a full-width @", "jeanne\uFF20example.fr", ""},
		{"65 before the @", strings.Repeat("a", 65) + "@example.fr", ""},
		{"64 before the @", strings.Repeat("a", 64) + "@example.fr", strings.Repeat("a", 64) + "@example.fr"},
		{"255 in all", "a@" + strings.Repeat("a.", 125) + "fra", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := mail.ParseAddress(tt.text)
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("ParseAddress(%q) = %q, %t, want %q", tt.text, got, ok, tt.want)
			}
		})
	}
}

func TestWithin(t *testing.T) {
	for _, tt := range []struct {
		domain, other string
		want          bool
	}{
		{"mssante.fr", "mssante.fr", true},
		{"cabinet.mssante.fr", "mssante.fr", true},
		{"a.b.mssante.fr", "mssante.fr", true},
		{"notmssante.fr", "mssante.fr", false},
		{"mssante.fr.example.org", "mssante.fr", false},
		{"fr", "mssante.fr", false},
		{"mssante.fr", "", false},
	} {
		if got := mail.Within(tt.domain, tt.other); got != tt.want {
			t.Errorf("Within(%q, %q) = %t, want %t", tt.domain, tt.other, got, tt.want)
		}
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{"jeanne@example.fr": "j…@example.fr", "j@example.fr": "j…@example.fr", "nothing": "", "@example.fr": ""} {
		if got := mail.Mask(in); got != want {
			t.Errorf("Mask(%q) = %q, want %q", in, got, want)
		}
	}
}

// What is taken is read as the same one address by another implementation, and parses to itself.
func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"jeanne@example.fr", "a@b@c.fr", `"a@b"@c.fr`, "a,b@c.fr", "a@b.fr\r\nBcc: c@d.fr", "\u212A@\u212A.fr"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := mail.ParseAddress(text)
		if !ok {
			if got != "" || mail.DomainOf(text) != "" {
				t.Errorf("ParseAddress(%q) refuses and returns %q", text, got)
			}
			return
		}
		if again, ok := mail.ParseAddress(got); !ok || again != got {
			t.Errorf("ParseAddress(%q) = %q, which parses to %q, %t", text, got, again, ok)
		}
		list, err := netmail.ParseAddressList(got)
		if err != nil || len(list) != 1 || list[0].Address != got || list[0].Name != "" {
			t.Errorf("ParseAddress(%q) = %q, which net/mail reads as %v, %v", text, got, list, err)
		}
		if !strings.EqualFold(text, got) {
			t.Errorf("ParseAddress(%q) = %q: more than its case changed", text, got)
		}
	})
}
