// Package cli is the command line that both programs share: a table of commands, help for each, one place where an
// error becomes a message and an exit code.
//
// It never ends the process: main does, with the code that Run returns. It holds no state.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Exit codes of both programs.
const (
	ExitOK     = 0 // done; for a question: yes
	ExitFailed = 1 // it failed; for a question: no
	ExitUsage  = 2 // the command line itself is wrong; for a question: it could not be answered
)

// Streams are the standard streams of a command, so that tests can give others.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Command is one entry of a program's table.
type Command struct {
	Name    string // one word, or two for a group: "certs verify"
	Args    string // what follows the name in the usage line: "[flags] CERT.pem"
	Summary string // one line for the program's help
	Help    string // paragraphs and examples for the command's own help
	Hidden  bool   // not listed: for a program that starts itself

	// Run does the work. It declares its flags on fs and parses args with Parse. An error is printed after the
	// program's name; ErrNegative exits with ExitFailed and prints nothing.
	Run func(ctx context.Context, fs *flag.FlagSet, args []string, io Streams) error
}

// ErrNegative says that a command worked and its answer is no (a certificate refused, say). The command has printed why.
var ErrNegative = errors.New("the answer is no")

// UnansweredError is why a command that answers a question could not. It exits with ExitUsage, as ExitFailed would say no.
type UnansweredError struct{ Err error }

func (e *UnansweredError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UnansweredError) Unwrap() error { return e.Err }

// UsageError is a command line that cannot be understood.
type UsageError struct{ Message string }

func (e *UsageError) Error() string { return e.Message }

// Usagef returns a *UsageError.
func Usagef(format string, args ...any) error {
	return &UsageError{Message: fmt.Sprintf(format, args...)}
}

// Parse parses the flags of a command and returns what is left. It asks for at least min and at most max arguments.
func Parse(fs *flag.FlagSet, args []string, min, max int) ([]string, error) {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, &UsageError{Message: err.Error()}
	}
	rest := fs.Args()
	switch {
	case len(rest) < min:
		return nil, Usagef("%d argument(s) expected, %d given", min, len(rest))
	case len(rest) > max:
		return nil, Usagef("unexpected argument %q (flags come before arguments)", rest[max])
	}
	return rest, nil
}

// Run finds the command of args in table, runs it and returns the exit code.
func Run(ctx context.Context, program, about string, table []Command, args []string, io Streams) int {
	if len(args) == 0 {
		printTable(io.Err, program, about, table)
		return ExitUsage
	}
	if isHelp(args[0]) {
		if len(args) == 1 {
			printTable(io.Out, program, about, table)
			return ExitOK
		}
		args = append(args[1:len(args):len(args)], "--help") // "help serve" is "serve --help"
	}
	c, rest := find(table, args)
	if c == nil {
		return noCommand(program, table, args, io)
	}

	fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	fs.SetOutput(discard{})
	fs.Usage = func() {}
	err := c.Run(ctx, fs, rest, io)
	var usage *UsageError
	var unanswered *UnansweredError
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, flag.ErrHelp):
		printCommand(io.Out, program, c, fs)
		return ExitOK
	case errors.Is(err, ErrNegative):
		return ExitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(io.Err, "%s %s: %v\nusage: %s %s %s\n", program, c.Name, err, program, c.Name, c.Args)
		return ExitUsage
	case errors.As(err, &unanswered):
		fmt.Fprintf(io.Err, "%s %s: %v\n", program, c.Name, err)
		return ExitUsage
	default:
		fmt.Fprintf(io.Err, "%s %s: %v\n", program, c.Name, err)
		return ExitFailed
	}
}

// noCommand answers a command line that names none: the name of a group alone, say.
func noCommand(program string, table []Command, args []string, io Streams) int {
	group, about := group(table, args[0]), "Commands of "+args[0]+":"
	switch {
	case len(group) == 0:
		fmt.Fprintf(io.Err, "%s: no command %q; '%s --help' lists them\n", program, args[0], program)
		return ExitUsage
	case len(args) > 1 && isHelp(args[1]):
		printTable(io.Out, program, about, group)
		return ExitOK
	case len(args) > 1:
		fmt.Fprintf(io.Err, "%s: no command %q\n\n", program, args[0]+" "+args[1])
	}
	printTable(io.Err, program, about, group)
	return ExitUsage
}

// find returns the command that args begin with, and what follows it. Two words win over one.
func find(table []Command, args []string) (*Command, []string) {
	for n := min(2, len(args)); n > 0; n-- {
		name := strings.Join(args[:n], " ")
		for i := range table {
			if table[i].Name == name {
				return &table[i], args[n:]
			}
		}
	}
	return nil, args
}

func group(table []Command, word string) []Command {
	var g []Command
	for _, c := range table {
		if strings.HasPrefix(c.Name, word+" ") && !c.Hidden {
			g = append(g, c)
		}
	}
	return g
}

func isHelp(arg string) bool {
	return arg == "help" || arg == "-h" || arg == "-help" || arg == "--help"
}

func printTable(w io.Writer, program, about string, table []Command) {
	fmt.Fprintf(w, "%s\n\nusage: %s COMMAND [flags] [arguments]\n\n", about, program)
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, c := range table {
		if !c.Hidden {
			fmt.Fprintf(tw, "  %s\t%s\n", c.Name, c.Summary)
		}
	}
	tw.Flush()
	fmt.Fprintf(w, "\n'%s COMMAND --help' says more of one.\n", program)
}

func printCommand(w io.Writer, program string, c *Command, fs *flag.FlagSet) {
	fmt.Fprintf(w, "%s %s: %s\n\nusage: %s %s %s\n", program, c.Name, c.Summary, program, c.Name, c.Args)
	if c.Help != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.Help))
	}
	any := false
	fs.VisitAll(func(*flag.Flag) { any = true })
	if any {
		fmt.Fprintf(w, "\nflags:\n")
		fs.SetOutput(w)
		fs.PrintDefaults()
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
