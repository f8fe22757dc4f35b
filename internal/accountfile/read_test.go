package accountfile_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/accountfile"
	"promess/authgw/internal/mail"
	"promess/authgw/internal/store"
)

const header = "id_type,national_id,given_name,family_name,profession,mailboxes,organisational_mailboxes,structures,address,state\n"

// whole is a file with every column.
const whole = header +
	`RPPS,899700218896,Jeanne,Martin,10,jeanne.martin@hopital.mssante.example,accueil@hopital.mssante.example,10B0057881=HÔPITAL DES 3 DAMES,jeanne@example.fr,active
FINESS,30B0057881/CPET0002,"Charles ""Charlie""","de La Tour, fils",,a@mssante.example | b@mssante.example,-,1750100018=A=B|10B0057881=C,,disabled
ADELI,0751234567,Zoé,D'Or,,,,-,,
`

func entries() []store.Entry {
	return []store.Entry{
		jeanne(),
		{
			IDType: "FINESS", NationalID: "30B0057881/CPET0002", GivenName: `Charles "Charlie"`, FamilyName: "de La Tour, fils",
			Nominative: []string{"a@mssante.example", "b@mssante.example"}, Organisational: []string{},
			Structures: []store.Structure{{ID: "1750100018", Name: "A=B"}, {ID: "10B0057881", Name: "C"}}, State: "disabled",
		},
		{IDType: "ADELI", NationalID: "0751234567", GivenName: "Zoé", FamilyName: "D'Or", Structures: []store.Structure{}},
	}
}

func TestRead(t *testing.T) {
	for name, text := range map[string]string{
		"commas":                            whole,
		"a mark at the beginning":           "\ufeff" + whole,
		"line ends of Windows":              strings.ReplaceAll(whole, "\n", "\r\n"),
		"no line end at the end":            strings.TrimSuffix(whole, "\n"),
		"empty lines and rows at the end":   whole + "\n,,,,,,,,,\n\n",
		"semicolons, as French programs do": strings.NewReplacer("Tour, fils", "Tour, fils", ",", ";").Replace(whole), // in the name it is text
	} {
		t.Run(name, func(t *testing.T) {
			got, err := accountfile.Read(strings.NewReader(text), protected())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&accountfile.File{Entries: entries(), Lines: []int{2, 3, 4}}, got); diff != "" {
				t.Errorf("Read (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("four columns are enough, in any order", func(t *testing.T) {
		got, err := accountfile.Read(strings.NewReader("family_name;given_name;national_id;id_type\nMartin;Jeanne;899700218896;RPPS\n"), protected())
		if err != nil {
			t.Fatal(err)
		}
		want := []store.Entry{{IDType: "RPPS", NationalID: "899700218896", GivenName: "Jeanne", FamilyName: "Martin"}}
		if diff := cmp.Diff(want, got.Entries); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
	})
}

const small = "id_type,national_id,given_name,family_name,mailboxes\n"

func TestReadRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string // "line column: text", a line each
	}{
		{"an empty file", "", "1 : the names of the columns expected first"},
		{"no names of columns, and repeats no person", "RPPS,899700218896,Jeanne,Martin\n", "1 : the names of the columns expected first"},
		{"an unknown column", strings.Replace(small, "mailboxes", "mailbox", 1), `1 : unknown column "mailbox"; did you mean "mailboxes"?`},
		{"a column in capitals", strings.Replace(small, "given_name", "Given_name", 1), `1 : unknown column "Given_name"; did you mean "given_name"?
1 given_name: missing: the column is needed`},
		{"a column twice", strings.Replace(small, "mailboxes", "given_name", 1), "1 given_name: given twice"},
		{"every fault of every line, at once", small + `RPPS,899700218896,Jeanne,Martin,a@b@mssante.example
RPPS,10101234567,,Martin,
RPPS,810101234567,Jeanne,Martin
RPPS,810101234568,Je"anne,Martin,
RPPS,810101234569,Jeanne,Mart` + "\xe9" + `,
"RPPS","810101234570","Jea
nne",Martin,
XXXX,810101234571,Jeanne,Martin,
`, `2 mailboxes: a mail address expected
3 national_id: an identifier of type RPPS begins with 8
3 given_name: missing
4 : 5 cells expected, 4 given
5 : a quote in the wrong place
6 family_name: UTF-8 text expected
7 given_name: one line of text
9 id_type: one of ADELI, ADELI_CABINET`},
		{"A25: one person on two lines", small + "RPPS,899700218896,Jeanne,Martin,\nRPPS,810101234567,Paul,Albert,\nRPPS,899700218896,Jeanne,Durand,\n",
			"4 national_id: another person expected: this one is on line 2"},
		{"one mailbox of two persons", small + "RPPS,899700218896,Jeanne,Martin,j@mssante.example\nRPPS,810101234567,Paul,Albert,J@mssante.example\n",
			"3 mailboxes: a mailbox of this person alone expected: it is given on line 2 too"},
		{"a quote that never ends", small + "RPPS,899700218896,\"Jeanne,Martin,\n", "2 : a quote in the wrong place"},
		{"UTF-16", "\xff\xfei\x00d\x00", "1 : UTF-8 text expected, UTF-16 or a spreadsheet given"},
		{"a spreadsheet", "PK\x03\x04\x14\x00\x00", "1 : UTF-8 text expected, UTF-16 or a spreadsheet given"},
		{"values that are no list", small + "RPPS,899700218896,Jeanne,Martin,j@mssante.example;k@mssante.example\n", "2 mailboxes: a mail address expected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := accountfile.Read(strings.NewReader(tt.text), protected())
			var refused *accountfile.Refused
			if f != nil || !errors.As(err, &refused) {
				t.Fatalf("Read = %v, %v, want a *Refused alone", f, err)
			}
			wants := strings.Split(tt.want, "\n")
			for i, p := range refused.Problems {
				got := fmt.Sprintf("%d %s: %s", p.Line, p.Column, p.Text)
				if i >= len(wants) || !strings.HasPrefix(got, wants[i]) {
					t.Errorf("problem %d = %q", i, got)
				}
				for _, secret := range []string{"Martin", "8997", "8101", "b@mss", "Albert"} {
					if strings.Contains(got, secret) {
						t.Errorf("problem %q repeats %q", got, secret)
					}
				}
			}
			if len(refused.Problems) != len(wants) {
				t.Errorf("%d problems, want %d", len(refused.Problems), len(wants))
			}
		})
	}
}

// D17: a login name has one spelling, and one owner.
func TestReadLoginNames(t *testing.T) {
	const head = "id_type,national_id,given_name,family_name,login_name\n"
	got, err := accountfile.Read(strings.NewReader(head+"RPPS,899700218896,Jeanne,Martin,j.martin-2\nRPPS,810101234567,Paul,Albert,\nRPPS,810101234568,Zoé,Durand,\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range got.Entries {
		names = append(names, e.LoginName)
	}
	if diff := cmp.Diff([]string{"j.martin-2", "", ""}, names); diff != "" {
		t.Errorf("login names (-want +got):\n%s", diff)
	}
	_, err = accountfile.Read(strings.NewReader(head+"RPPS,899700218896,Jeanne,Martin,JMartin\nRPPS,810101234567,Paul,Albert,p\nRPPS,810101234568,Zoé,Durand,10101234567\n"+
		"RPPS,810101234569,Zoé,Durand,zoe\nRPPS,810101234570,Zoé,Durand,zoe\n"), nil)
	var refused *accountfile.Refused
	if !errors.As(err, &refused) {
		t.Fatalf("Read = %v, want a *Refused", err)
	}
	var lines []int
	for _, p := range refused.Problems {
		if p.Column == "login_name" {
			lines = append(lines, p.Line)
		}
	}
	if diff := cmp.Diff([]int{2, 3, 4, 6}, lines); diff != "" {
		t.Errorf("lines with a wrong login name (-want +got):\n%s", diff)
	}
}

func TestReadThatBreaksOff(t *testing.T) {
	broken := errors.New("the disk has gone")
	for _, text := range []string{"", header, whole} {
		f, err := accountfile.Read(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), protected())
		if f != nil || !errors.Is(err, broken) {
			t.Errorf("Read of what breaks off after %d bytes = %v, %v, want %v", len(text), f, err, broken)
		}
	}
}

// FuzzRead: what is read without a fault is right by Check, each is another person, and nothing comes beside an error.
func FuzzRead(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("\ufeff" + strings.ReplaceAll(whole, ",", ";")))
	f.Add([]byte(small + "\"a\nb\",c,d\n"))
	f.Add([]byte("id_type,national_id,given_name,family_name,mailboxes,address\nRPPS,899700218896,Jeanne,Martin,j@a.example,j@b.a.example\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := accountfile.Read(strings.NewReader(string(data)), protected())
		if err != nil {
			var refused *accountfile.Refused
			if file != nil || errors.As(err, &refused) && len(refused.Problems) == 0 {
				t.Errorf("Read = %v, %v", file, err)
			}
			return
		}
		seen := map[string]bool{}
		for i, e := range file.Entries {
			if p := accountfile.Check(e, protected()); len(p) > 0 {
				t.Errorf("entry %d was read and has problems: %+v", i, p)
			}
			if e.Address != "" && mail.Circular(e.Address, protected(), slices.Concat(e.Nominative, e.Organisational)) {
				t.Errorf("entry %d was read with an address that its own mailboxes open (D2)", i)
			}
			id := e.IDType + " " + e.NationalID
			if seen[id] {
				t.Errorf("%q was read twice", id)
			}
			seen[id] = true
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var text strings.Builder
	text.WriteString(small)
	for i := range 100_000 {
		fmt.Fprintf(&text, "RPPS,8%011d,Jeanne,Martin,jeanne.martin%d@mssante.example\n", i, i)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := accountfile.Read(strings.NewReader(text.String()), protected()); err != nil {
			b.Fatal(err)
		}
	}
}
