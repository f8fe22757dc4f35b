package dialog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"promess/authgw/internal/agent"
)

// command is a program that shows one window and prints what was typed: zenity, kdialog.
type command struct {
	path   string
	words  words
	args   func(w words, r agent.PINRequest, seconds int64) []string
	failed func(stderr []byte) bool // tells a window that could not be shown from one that was closed: both exit with 1
}

var _ agent.Prompter = (*command)(nil)

// Exit codes. zenity(1): 1 cancelled or closed, 5 timed out; kdialog: 1 cancelled.
const (
	exitCancelled = 1
	exitTimeout   = 5
)

// AskPIN implements agent.Prompter.
func (c *command) AskPIN(ctx context.Context, request agent.PINRequest) (string, error) {
	cmd := newProcess(ctx, c.path, c.args(c.words, request, seconds(ctx, time.Now().Unix()))...)
	var stdout, stderr bounded
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return strings.TrimSuffix(string(stdout.data), "\n"), nil
	case exited && exit.ExitCode() == exitTimeout:
		return "", context.DeadlineExceeded
	case exited && exit.ExitCode() == exitCancelled && !c.failed(stderr.data):
		return "", agent.ErrCancelled
	}
	return "", fmt.Errorf("run dialog: %w", err)
}

// noDisplay knows what GTK and Qt say when they cannot open a window.
func noDisplay(stderr []byte) bool {
	for _, text := range []string{"cannot open display", "could not connect to display", "Failed to open display", "no Qt platform plugin"} {
		if bytes.Contains(stderr, []byte(text)) {
			return true
		}
	}
	return false
}

// zenityArgs uses an entry with hidden text: --password shows no text, and --forms reads its text as Pango markup.
func zenityArgs(w words, r agent.PINRequest, seconds int64) []string {
	args := []string{
		"--entry", "--hide-text",
		"--title=" + zenityText(w.heading(r)),
		"--text=" + zenityText(join(w.warning(r), w.body(r))),
		"--ok-label=" + w.ok, "--cancel-label=" + w.cancel,
	}
	if seconds > 0 {
		args = append(args, "--timeout="+strconv.FormatInt(seconds, 10))
	}
	return args
}

// kdialogArgs: the text is an argument that follows --password, and cannot be read as an option since it is not the first.
func kdialogArgs(w words, r agent.PINRequest, _ int64) []string {
	return []string{"--title", inert(w.heading(r)), "--password", inert(join(w.warning(r), w.body(r)))}
}

// inert replaces what a toolkit might take for markup (Pango, Qt rich text) by characters that look alike: whether a label
// reads markup depends on the version of the program, so escaping would show in some and be needed in others.
func inert(s string) string {
	return strings.NewReplacer("<", "‹", ">", "›", "&", "＆").Replace(s)
}

// zenityText also keeps an underscore from marking a mnemonic, and a backslash from starting an escape (g_strcompress).
func zenityText(s string) string {
	return strings.NewReplacer("_", "__", `\`, "⧵").Replace(inert(s))
}

func join(warning, body string) string {
	if warning == "" {
		return body
	}
	return warning + "\n\n" + body
}
