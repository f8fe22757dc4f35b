package dialog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"promess/authgw/internal/agent"
)

// pinentry speaks the Assuan protocol to one of the programs of that name (pinentry's manual, chapter "Protocol").
type pinentry struct {
	path  string
	words words
}

var _ agent.Prompter = (*pinentry)(nil)

// maxLine is the length of a line of Assuan, with its end (libassuan, ASSUAN_LINELENGTH).
const maxLine = 1002

// Error codes of libgpg-error, the low 16 bits of the number in an ERR line.
const (
	gpgErrTimeout        = 62
	gpgErrCanceled       = 99
	gpgErrFullyCanceled  = 198
	gpgErrCodeMask       = 0xFFFF
	maxComments          = 64 // status and comment lines before an answer
	dataPrefix, okPrefix = "D ", "OK"
)

// assuanError is an ERR line. Its text is the program's own, and holds nothing that was typed.
type assuanError struct{ code uint64 }

func (e *assuanError) Error() string { return "pinentry: error " + strconv.FormatUint(e.code, 10) }

// AskPIN implements agent.Prompter. It gives the program no key information, so that none of them offers to store the PIN.
func (p *pinentry) AskPIN(ctx context.Context, request agent.PINRequest) (string, error) {
	// Killed when the question is over, too: a program that does not leave at the end of its input is not waited for.
	process, kill := context.WithCancel(ctx)
	defer kill()
	cmd := newProcess(process, p.path)
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", fmt.Errorf("start pinentry: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", fmt.Errorf("start pinentry: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start pinentry: %w", err)
	}
	pin, err := converse(in, bufio.NewReaderSize(out, maxLine), p.script(request, seconds(ctx, time.Now().Unix())))
	in.Close()
	kill()
	cmd.Wait() // killed: its exit says nothing
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return pin, assuanCause(err)
}

// assuanCause tells what the person did from what the program could not do.
func assuanCause(err error) error {
	e, ok := errors.AsType[*assuanError](err)
	if !ok {
		return err
	}
	switch e.code & gpgErrCodeMask {
	case gpgErrCanceled, gpgErrFullyCanceled:
		return agent.ErrCancelled
	case gpgErrTimeout:
		return context.DeadlineExceeded
	}
	return err
}

// script is what is said before the question.
func (p *pinentry) script(r agent.PINRequest, seconds int64) []string {
	w := p.words
	lines := []string{
		"SETTITLE " + escape(w.heading(r)),
		"SETDESC " + escape(w.body(r)),
		"SETPROMPT " + escape(w.prompt),
		"SETOK " + escape(w.ok),
		"SETCANCEL " + escape(w.cancel),
	}
	if seconds > 0 {
		lines = append(lines, "SETTIMEOUT "+strconv.FormatInt(seconds, 10))
	}
	if warning := w.warning(r); warning != "" {
		lines = append(lines, "SETERROR "+escape(warning))
	}
	return lines
}

// converse says the script line by line, each acknowledged, then asks.
func converse(w io.Writer, r *bufio.Reader, script []string) (string, error) {
	if _, err := answer(r); err != nil { // the greeting
		return "", err
	}
	for _, line := range append(script, "GETPIN") {
		if _, err := io.WriteString(w, line+"\n"); err != nil {
			return "", fmt.Errorf("ask pinentry: %w", err)
		}
		if line == "GETPIN" {
			break
		}
		if _, err := answer(r); err != nil {
			return "", err
		}
	}
	return answer(r)
}

// answer reads up to OK or ERR, and returns the data before it.
func answer(r *bufio.Reader) (string, error) {
	var data strings.Builder
	for range maxComments {
		raw, err := r.ReadSlice('\n') // of at most maxLine bytes
		if err != nil {
			return "", fmt.Errorf("read pinentry: %w", err)
		}
		line := strings.TrimSuffix(string(raw), "\n")
		switch {
		case line == okPrefix || strings.HasPrefix(line, okPrefix+" "):
			return data.String(), nil
		case strings.HasPrefix(line, "ERR "):
			number, _, _ := strings.Cut(line[len("ERR "):], " ")
			code, _ := strconv.ParseUint(number, 10, 32)
			return "", &assuanError{code: code}
		case strings.HasPrefix(line, dataPrefix):
			part, err := url.PathUnescape(line[len(dataPrefix):])
			if err != nil {
				return "", errMalformed
			}
			data.WriteString(part)
		}
	}
	return "", errMalformed
}

var errMalformed = errors.New("read pinentry: not an answer")

// escape makes a text fit for one line: percent, and line ends, as %XX. What does not fit in a line is cut.
func escape(s string) string {
	s = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
	const room = maxLine - len("SETTIMEOUT \r\n")
	if len(s) <= room {
		return s
	}
	s = s[:room]
	if i := strings.LastIndexByte(s, '%'); i > len(s)-3 {
		s = s[:i]
	}
	return strings.ToValidUTF8(s, "")
}
