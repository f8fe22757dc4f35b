package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds of a file. The parser needs time that grows with the square of the nesting of brackets, so they are counted first.
const (
	maxFile     = 64 << 10
	maxBrackets = 512
)

// readFile reads a configuration file whole, up to the size that parse accepts and one byte, so that parse can tell.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for ever
		return nil, fmt.Errorf("read configuration: %s is not a file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return data, nil
}

// parse reads one YAML document whose top is a mapping. It returns an empty section when there is none: the problem is then
// reported in src, and the keys that are missing are not.
func parse(data []byte, name string) (*section, *source, error) {
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	src := &source{name: name, base: dir}
	top := document(src, data)
	if top == nil {
		return nil, nil, src.err()
	}
	v := value{src: src, line: line(top), node: top}
	s, err := v.section()
	if err != nil {
		v.report(err)
		return nil, nil, src.err()
	}
	return s, src, nil
}

// document returns the only document of a file, or nil after it has reported why there is none.
func document(src *source, data []byte) ast.Node {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // as some editors of Windows write
	// YAML 1.2, section 5.4: these end a line too. The parser counts them otherwise.
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	switch {
	case len(data) > maxFile:
		src.report(1, "", fmt.Sprintf("a file of at most %d bytes expected", maxFile))
		return nil
	case !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0:
		src.report(1, "", "UTF-8 text expected, other bytes given")
		return nil
	case bytes.Count(data, []byte{'['})+bytes.Count(data, []byte{'{'}) > maxBrackets:
		src.report(1, "", fmt.Sprintf("at most %d brackets expected, more given", maxBrackets))
		return nil
	}

	// The parser's own refusal of duplicate keys stops at the first: section finds them all.
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		at, text := 1, "YAML expected, something else given"
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			text = "YAML expected: " + syntax.GetMessage()
			if token := syntax.GetToken(); token != nil && token.Position != nil {
				at = token.Position.Line
			}
		}
		src.report(at, "", text) // without the parser's excerpt of the file
		return nil
	}
	var body ast.Node
	for _, d := range file.Docs {
		switch {
		case d.Body == nil:
		case body != nil:
			src.report(line(d.Body), "", "one YAML document expected, several given")
			return nil
		default:
			body = d.Body
		}
	}
	if body == nil {
		src.report(1, "", "settings expected, an empty file given")
	}
	return body
}

// section is a mapping of the file. Asking for a key makes it known; close reports those that nobody asked for.
type section struct {
	src    *source
	path   string // empty at the top of the file
	line   int
	given  map[string]value
	order  []string
	known  []string
	silent bool // stands for a mapping that is absent or already reported: nothing in it is missed
}

// close reports the keys that were never asked for.
func (s *section) close() {
	for _, key := range s.order {
		if slices.Contains(s.known, key) {
			continue
		}
		text := "unknown key; known here: " + strings.Join(s.known, ", ")
		if near := Nearest(key, s.known); near != "" {
			text = fmt.Sprintf("unknown key; did you mean %q?", near)
		}
		s.given[key].reportf("%s", text)
	}
}

// at returns the value of key. Of an absent key it has no node, and the line of the section.
func (s *section) at(key string) value {
	if !slices.Contains(s.known, key) {
		s.known = append(s.known, key)
	}
	if v, ok := s.given[key]; ok {
		return v
	}
	return value{src: s.src, path: join(s.path, key), line: s.line}
}

// optional returns what read makes of the value of key, or fallback when the key is absent. A refusal is reported and
// returns the zero value.
func optional[T any](s *section, key string, fallback T, read func(value) (T, error)) T {
	v := s.at(key)
	if v.node == nil {
		return fallback
	}
	got, err := read(v)
	if err != nil {
		var zero T
		v.report(err)
		return zero
	}
	return got
}

// required is optional for a key that must be there; what says what for.
func required[T any](s *section, key, what string, read func(value) (T, error)) T {
	var zero T
	if v := s.at(key); v.node == nil && !s.silent {
		v.reportf("missing: %s", what)
	}
	return optional(s, key, zero, read)
}

// sub returns the mapping at key: an empty one when it is absent or wrong.
func (s *section) sub(key string) *section {
	v := s.at(key)
	empty := &section{src: s.src, path: v.path, line: v.line, silent: true}
	if v.node == nil {
		empty.silent = s.silent
		return empty
	}
	return optional(s, key, empty, func(v value) (*section, error) {
		sub, err := v.section()
		if err != nil {
			v.report(err)
			return empty, nil
		}
		return sub, nil
	})
}

// list returns what read makes of each element of the list at key, without those that were refused.
func list[T any](s *section, key string, read func(value) (T, error)) []T {
	var all []T
	for _, v := range optional(s, key, nil, value.list) {
		got, err := read(v)
		if err != nil {
			v.report(err)
			continue
		}
		all = append(all, got)
	}
	return all
}

// value is one value of the file, with its place.
type value struct {
	src  *source
	path string
	line int
	node ast.Node // nil: the key is absent
}

func (v value) report(err error) { v.src.report(v.line, v.path, err.Error()) }

func (v value) reportf(format string, args ...any) {
	v.src.report(v.line, v.path, fmt.Sprintf(format, args...))
}

// want is the error of a value that is not what it should be.
func (v value) want(what string) error {
	return fmt.Errorf("%s expected, %s given", what, v.describe())
}

func (v value) describe() string {
	switch n := v.node.(type) {
	case *ast.StringNode:
		return quote(n.Value)
	case *ast.LiteralNode:
		return "a text of several lines"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + strings.Trim(quote(v.node.GetToken().Value), `"`)
	case *ast.BoolNode:
		return fmt.Sprint(n.Value)
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case ast.MapNode:
		return "a mapping"
	default: // anchors, aliases, tags, merge keys: what a value is must be readable where it stands
		return "an anchor, an alias or a tag (which this file does not use)"
	}
}

func (v value) text() (string, error) {
	n, ok := v.node.(*ast.StringNode)
	switch {
	case ok && strings.TrimSpace(n.Value) != "":
		return n.Value, nil
	case ok:
		return "", v.want("text")
	}
	switch v.node.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return "", fmt.Errorf("%w (put it in quotes)", v.want("text"))
	}
	return "", v.want("text")
}

func (v value) boolean() (bool, error) {
	n, ok := v.node.(*ast.BoolNode)
	if !ok {
		return false, v.want("true or false")
	}
	return n.Value, nil
}

func (v value) list() ([]value, error) {
	n, ok := v.node.(*ast.SequenceNode)
	if !ok {
		return nil, v.want("a list")
	}
	var all []value
	for i, e := range n.Values {
		all = append(all, value{src: v.src, path: fmt.Sprintf("%s[%d]", v.path, i), line: line(e), node: e})
	}
	return all, nil
}

// section returns v as a mapping. Keys that are not plain text, or stand twice, are reported here.
func (v value) section() (*section, error) {
	m, ok := v.node.(ast.MapNode)
	if !ok {
		return nil, v.want("a mapping (key: value)")
	}
	s := &section{src: v.src, path: v.path, line: v.line, given: map[string]value{}}
	for it := m.MapRange(); it.Next(); {
		at := line(it.Key())
		key, ok := it.Key().(*ast.StringNode)
		if !ok {
			v.src.report(at, v.path, "a key of plain text expected, something else given (anchors and merge keys are not used in this file)")
			continue
		}
		if first, ok := s.given[key.Value]; ok {
			v.src.report(at, first.path, fmt.Sprintf("given twice; the first is on line %d", first.line))
			continue
		}
		s.given[key.Value] = value{src: v.src, path: join(v.path, key.Value), line: at, node: it.Value()}
		s.order = append(s.order, key.Value)
	}
	return s, nil
}

// join appends a key to a path. A key is shown as it is only when it looks like one.
func join(path, key string) string {
	plain := func(r rune) bool {
		return r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if key == "" || len(key) > 40 || strings.ContainsFunc(key, func(r rune) bool { return !plain(r) }) {
		key = quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// line returns the line where a node begins; of a mapping, that of its first key.
func line(n ast.Node) int {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 1
	}
	return n.GetToken().Position.Line
}
