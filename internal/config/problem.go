package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxProblems bounds a message: a file of another program would otherwise be refused line by line.
const maxProblems = 40

// Problem is one thing that is wrong with a configuration file.
type Problem struct {
	File string
	Line int    // from 1
	Key  string // full path of the key, such as services[0].host; empty when the file as a whole is wrong
	Text string // what was expected and what was given
}

func (p Problem) String() string {
	if p.Key == "" {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Key, p.Text)
}

// Refused is the error for a file that was read and is wrong. It holds every problem, in the order of the lines.
type Refused struct {
	Problems []Problem
}

func (r *Refused) Error() string {
	return "configuration refused:\n" + r.Lines()
}

// Lines returns the problems, one a line, without a heading: the form that editors and scripts read.
func (r *Refused) Lines() string {
	lines := make([]string, 0, len(r.Problems))
	for i, p := range r.Problems {
		if i == maxProblems {
			lines = append(lines, fmt.Sprintf("… and %d more", len(r.Problems)-i))
			break
		}
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// source is a file being read, with what was found wrong so far.
type source struct {
	name     string // as the person gave it
	base     string // absolute directory of the file: relative paths start there
	problems []Problem
}

func (s *source) report(line int, key, text string) {
	s.problems = append(s.problems, Problem{File: s.name, Line: max(line, 1), Key: key, Text: text})
}

// err returns what was reported, or nil.
func (s *source) err() error {
	if len(s.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(s.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &Refused{Problems: s.problems}
}

// quote shows a given value in a message: short, on one line, and never one that may carry a secret (a URL with a password,
// a pasted key).
func quote(text string) string {
	suspect := strings.Contains(text, "-----BEGIN") || strings.Contains(text, "@") && strings.Contains(text, "/")
	if suspect || len(text) > 80 || strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Sprintf("a text of %d bytes", len(text))
	}
	return fmt.Sprintf("%q", text)
}

// reason is the last part of an error of the operating system, without the path that it repeats.
func reason(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}
