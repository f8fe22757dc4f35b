package accountfile

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"promess/authgw/internal/config"
	"promess/authgw/internal/store"
)

// Bounds of a file.
const (
	maxFile   = 256 << 20
	maxRows   = 1_000_000
	maxHeader = 4096
)

// Columns returns the names of the columns. The first four must be there.
func Columns() []string {
	return []string{
		"id_type", "national_id", "given_name", "family_name", "profession", "mailboxes", "organisational_mailboxes", "structures", "login_name", "address", "state",
	}
}

const needed = 4

// none, in a cell of a list, is the empty list; an empty cell says nothing of it.
const none = "-"

// Problem is one thing that is wrong.
type Problem struct {
	Line   int    // from 1; zero: not of a file
	Column string // empty: the line as a whole
	Text   string // what is expected; never what is given
}

// Refused is the error for a file that was read and is wrong. It holds every problem, in the order of the lines.
type Refused struct{ Problems []Problem }

func (r *Refused) Error() string { return fmt.Sprintf("%d problem(s) in the file", len(r.Problems)) }

// File is the entries of a file, each about another person.
type File struct {
	Entries []store.Entry
	Lines   []int // of the entries
}

// reading is a file being read.
type reading struct {
	csv       *csv.Reader
	columns   []string
	file      File
	problems  []Problem
	protected []string
	persons   map[[2]string]int // line, by type and identifier
	owners    map[string]int    // line, by nominative mailbox in lower case
	names     map[string]int    // line, by login name
}

// Read reads a file: CSV (RFC 4180) in UTF-8, with commas or semicolons, the names of the columns first. Several values in a cell are
// separated by "|"; protected is that of Check. The error is a *Refused when the file is wrong, and a file comes without one only.
func Read(r io.Reader, protected []string) (*File, error) {
	text, comma, err := open(r)
	if err != nil {
		return nil, err
	}
	f := &reading{csv: csv.NewReader(text), protected: protected, persons: map[[2]string]int{}, owners: map[string]int{}, names: map[string]int{}}
	f.csv.Comma, f.csv.FieldsPerRecord, f.csv.ReuseRecord = comma, -1, true
	if err := f.header(); err != nil {
		return nil, err
	}
	for f.columns != nil {
		cells, err := f.csv.Read()
		var syntax *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			if len(f.problems) > 0 {
				return nil, &Refused{f.problems}
			}
			return &f.file, nil
		case errors.As(err, &syntax):
			f.report(syntax.StartLine, "", "a quote in the wrong place: a cell with quotes, separators or line ends in it stands in quotes, those in it doubled")
			continue
		case err != nil:
			return nil, fmt.Errorf("read accounts: %w", err)
		}
		line, _ := f.csv.FieldPos(0)
		if len(f.file.Lines) >= maxRows {
			f.report(line, "", fmt.Sprintf("at most %d accounts expected", maxRows))
			return nil, &Refused{f.problems}
		}
		f.row(line, cells)
	}
	return nil, &Refused{f.problems}
}

// open skips the mark that some programs begin UTF-8 with, and finds the separator in the first line.
func open(r io.Reader) (*bufio.Reader, rune, error) {
	text := bufio.NewReaderSize(&bounded{r: r, left: maxFile + 1}, maxHeader)
	first, err := text.Peek(maxHeader)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("read accounts: %w", err)
	}
	if bytes.HasPrefix(first, []byte{0xFF, 0xFE}) || bytes.HasPrefix(first, []byte{0xFE, 0xFF}) || bytes.IndexByte(first, 0) >= 0 {
		return nil, 0, &Refused{[]Problem{{Line: 1, Text: "UTF-8 text expected, UTF-16 or a spreadsheet given: save it as CSV in UTF-8"}}}
	}
	if mark := []byte("\ufeff"); bytes.HasPrefix(first, mark) {
		first = first[len(mark):]
		text.Discard(len(mark))
	}
	first, _, _ = bytes.Cut(first, []byte{'\n'})
	if bytes.IndexByte(first, ';') >= 0 {
		return text, ';', nil
	}
	return text, ',', nil
}

// bounded is an error, not an end, when more is left: half a file is not a file.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("a file of at most %d bytes expected", maxFile)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func (f *reading) report(line int, column, text string) {
	f.problems = append(f.problems, Problem{line, column, text})
}

// header reads the names of the columns. With a problem in them the rest is not read: every line would be wrong.
func (f *reading) header() error {
	names, err := f.csv.Read()
	var syntax *csv.ParseError
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &syntax) {
		return fmt.Errorf("read accounts: %w", err)
	}
	known := Columns()
	isKnown := func(name string) bool { return slices.Contains(known, name) }
	if err != nil || !slices.ContainsFunc(names, isKnown) { // an account, maybe: it is not repeated
		f.report(1, "", "the names of the columns expected first: "+strings.Join(known, ", "))
		return nil
	}
	for i, name := range names {
		switch {
		case !isKnown(name):
			f.report(1, "", unknown(i+1, name, known))
		case slices.Contains(names[:i], name):
			f.report(1, name, "given twice")
		}
	}
	for _, name := range known[:needed] {
		if !slices.Contains(names, name) {
			f.report(1, name, "missing: the column is needed")
		}
	}
	if len(f.problems) == 0 {
		f.columns = slices.Clone(names)
	}
	return nil
}

func unknown(number int, name string, known []string) string {
	if near := config.Nearest(name, known); near != "" && isText(name) {
		return fmt.Sprintf("unknown column %q; did you mean %q?", name, near)
	}
	return fmt.Sprintf("unknown column as number %d; known: %s", number, strings.Join(known, ", "))
}

// row reads one account.
func (f *reading) row(line int, cells []string) {
	if !slices.ContainsFunc(cells, func(c string) bool { return c != "" }) {
		return // as spreadsheets leave below the table
	}
	if len(cells) != len(f.columns) {
		f.report(line, "", fmt.Sprintf("%d cells expected, %d given", len(f.columns), len(cells)))
		return
	}
	before := len(f.problems)
	var e store.Entry
	for i, cell := range cells {
		if !utf8.ValidString(cell) {
			f.report(line, f.columns[i], "UTF-8 text expected: save the file as CSV in UTF-8")
			continue
		}
		f.cell(line, &e, f.columns[i], strings.Clone(cell)) // or a short cell would keep its whole line
	}
	if len(f.problems) == before {
		for _, p := range Check(e, f.protected) {
			f.report(line, p.Column, p.Text)
		}
	}
	f.alone(line, e)
	f.file.Entries, f.file.Lines = append(f.file.Entries, e), append(f.file.Lines, line)
}

func (f *reading) cell(line int, e *store.Entry, column, cell string) {
	switch column {
	case "id_type":
		e.IDType = cell
	case "national_id":
		e.NationalID = cell
	case "given_name":
		e.GivenName = cell
	case "family_name":
		e.FamilyName = cell
	case "profession":
		e.Profession = cell
	case "mailboxes":
		e.Nominative = split(cell)
	case "organisational_mailboxes":
		e.Organisational = split(cell)
	case "structures":
		for i, text := range split(cell) {
			s, err := ParseStructure(text)
			if err != nil {
				f.report(line, column, fmt.Sprintf("%v as number %d", err, i+1))
			}
			e.Structures = append(e.Structures, s)
		}
		if cell == none {
			e.Structures = []store.Structure{}
		}
	case "login_name":
		e.LoginName = cell
	case "address":
		e.Address = cell
	case "state":
		e.State = cell
	}
}

// split returns the values of a cell: nil when it is empty, and so says nothing.
func split(cell string) []string {
	switch cell {
	case "":
		return nil
	case none:
		return []string{}
	}
	all := strings.Split(cell, "|")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// alone sees to it that no two lines are about one person, or give one mailbox or login name to two.
func (f *reading) alone(line int, e store.Entry) {
	id := [2]string{e.IDType, e.NationalID}
	if other, twice := f.persons[id]; twice {
		f.report(line, "national_id", fmt.Sprintf("another person expected: this one is on line %d", other))
	} else {
		f.persons[id] = line
	}
	if other, twice := f.names[e.LoginName]; twice && e.LoginName != "" {
		f.report(line, "login_name", fmt.Sprintf("a login name of this person alone expected: it is given on line %d too", other))
	}
	f.names[e.LoginName] = line
	for _, m := range e.Nominative {
		m = strings.ToLower(m)
		if other, twice := f.owners[m]; twice && other != line {
			f.report(line, "mailboxes", fmt.Sprintf("a mailbox of this person alone expected: it is given on line %d too", other))
		} else {
			f.owners[m] = line
		}
	}
}
