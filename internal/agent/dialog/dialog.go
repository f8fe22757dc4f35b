// Package dialog asks for the PIN in a window of the desktop, with a program that the desktop has: pinentry, zenity or kdialog.
//
// It starts a program for one question and ends it when the question is over or its context is. It never uses a shell, never
// gives a text of a certificate a meaning (markup, mnemonic, escape), and keeps the PIN in no error, argument or file. A
// Prompter may be used by several goroutines; each call has its own process.
package dialog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"promess/authgw/internal/agent"
)

// Kinds of dialog, as in the configuration. KindPage is none: the agent asks on its own page.
const (
	KindAuto     = "auto"
	KindPinentry = "pinentry"
	KindZenity   = "zenity"
	KindKDialog  = "kdialog"
	KindPage     = "page"
)

// ErrNoProgram says that the dialog of the configuration is not on this workstation.
var ErrNoProgram = errors.New("no dialog program")

// Config says which dialog to use.
type Config struct {
	Kind    string                            // one of the kinds; empty: auto
	Program string                            // its path; empty: found in PATH
	Getenv  func(name string) string          // os.Getenv: the display and the language
	Look    func(name string) (string, error) // nil: exec.LookPath
}

// candidate is a program and how to talk to it.
type candidate struct{ kind, program string }

// candidates are in the order of preference. The pinentry that has no name of a toolkit may be one for terminals, and that
// of GNOME turns into one where the session has no bus: they come last, and only when asked for by kind or when nothing
// else is there.
var candidates = [...]candidate{
	{KindPinentry, "pinentry-qt"},
	{KindPinentry, "pinentry-gtk-2"},
	{KindZenity, "zenity"},
	{KindKDialog, "kdialog"},
	{KindPinentry, "pinentry-gnome3"},
	{KindPinentry, "pinentry"},
}

// Find returns the dialog to use, or nil when there is none and the agent is to ask on its own page: with KindPage, or with
// KindAuto where there is no display or no program. A dialog that was asked for by name and is not there is ErrNoProgram.
func Find(c Config) (agent.Prompter, error) {
	if c.Look == nil {
		c.Look = exec.LookPath
	}
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	if c.Kind == "" {
		c.Kind = KindAuto
	}
	switch {
	case c.Kind == KindPage:
		return nil, nil
	case c.Kind == KindAuto && c.Getenv("DISPLAY") == "" && c.Getenv("WAYLAND_DISPLAY") == "":
		return nil, nil
	case c.Program != "" && c.Kind == KindAuto:
		return nil, fmt.Errorf("%w: %s needs to be told its kind", ErrNoProgram, c.Program)
	case c.Program != "":
		return c.open(candidate{c.Kind, c.Program})
	}
	for _, found := range candidates {
		if c.Kind != KindAuto && c.Kind != found.kind {
			continue
		}
		if p, err := c.open(found); err == nil {
			return p, nil
		}
	}
	if c.Kind == KindAuto {
		return nil, nil
	}
	return nil, fmt.Errorf("%w: %s is not in PATH", ErrNoProgram, c.Kind)
}

func (c Config) open(found candidate) (agent.Prompter, error) {
	path, err := c.Look(found.program)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoProgram, err)
	}
	words := language(c.Getenv)
	switch found.kind {
	case KindPinentry:
		return &pinentry{path: path, words: words}, nil
	case KindZenity:
		return &command{path: path, words: words, args: zenityArgs, failed: noDisplay}, nil
	case KindKDialog:
		return &command{path: path, words: words, args: kdialogArgs, failed: noDisplay}, nil
	}
	return nil, fmt.Errorf("%w: no kind %q", ErrNoProgram, found.kind)
}

// seconds returns what is left of ctx, rounded up, for programs that close their window by themselves; 0 for no limit. They
// are killed when ctx ends; this is for the window that would outlive an agent that was killed.
func seconds(ctx context.Context, now int64) int64 {
	end, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(1, end.Unix()-now+2)
}
