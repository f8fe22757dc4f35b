package cli_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"testing"

	"promess/authgw/internal/cli"
)

// table is a program whose commands say what they got.
func table() []cli.Command {
	say := func(name string) func(context.Context, *flag.FlagSet, []string, cli.Streams) error {
		return func(_ context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
			at := fs.String("at", "now", "`time` to look at")
			rest, err := cli.Parse(fs, args, 0, 1)
			if err != nil {
				return err
			}
			fmt.Fprintln(io.Out, name, *at, rest)
			return nil
		}
	}
	fail := func(err error) func(context.Context, *flag.FlagSet, []string, cli.Streams) error {
		return func(context.Context, *flag.FlagSet, []string, cli.Streams) error { return err }
	}
	return []cli.Command{
		{Name: "serve", Args: "[flags] [FILE]", Summary: "run", Help: "\nServes.\n", Run: say("serve")},
		{Name: "certs verify", Args: "CERT", Summary: "judge a card", Run: say("certs verify")},
		{Name: "certs list", Summary: "list authorities", Run: say("certs list")},
		{Name: "certs hidden", Summary: "of a group, but not shown", Hidden: true, Run: say("certs hidden")},
		{Name: "child", Summary: "start itself", Hidden: true, Run: say("child")},
		{Name: "fail", Run: fail(errors.New("open x: no such file"))},
		{Name: "no", Run: fail(fmt.Errorf("verify: %w", cli.ErrNegative))},
		{Name: "unanswered", Run: fail(fmt.Errorf("verify: %w", &cli.UnansweredError{Err: io.ErrUnexpectedEOF}))},
		{Name: "usage", Args: "FILE", Run: fail(cli.Usagef("%q is no file", "x"))},
	}
}

const all = `about

usage: prog COMMAND [flags] [arguments]

  serve          run
  certs verify   judge a card
  certs list     list authorities
  fail           
  no             
  unanswered     
  usage          

'prog COMMAND --help' says more of one.
`

const certs = `Commands of certs:

usage: prog COMMAND [flags] [arguments]

  certs verify   judge a card
  certs list     list authorities

'prog COMMAND --help' says more of one.
`

const serve = `prog serve: run

usage: prog serve [flags] [FILE]

Serves.

flags:
  -at time
    	time to look at (default "now")
`

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name, args string
		code       int
		out, err   string
	}{
		{"a command", "serve", cli.ExitOK, "serve now []\n", ""},
		{"a command with a flag and an argument", "serve -at noon f", cli.ExitOK, "serve noon [f]\n", ""},
		{"a flag with two dashes", "serve --at=noon", cli.ExitOK, "serve noon []\n", ""},
		{"a command of two words", "certs verify -at noon c", cli.ExitOK, "certs verify noon [c]\n", ""},
		{"a hidden command", "child", cli.ExitOK, "child now []\n", ""},
		{"a hidden command of a group", "certs hidden", cli.ExitOK, "certs hidden now []\n", ""},
		{"nothing", "", cli.ExitUsage, "", all},
		{"help", "help", cli.ExitOK, all, ""},
		{"--help", "--help", cli.ExitOK, all, ""},
		{"-h", "-h", cli.ExitOK, all, ""},
		{"help of a command", "help serve", cli.ExitOK, serve, ""},
		{"a command's --help", "serve --help", cli.ExitOK, serve, ""},
		{"a command's -h after a flag", "serve -at x -h", cli.ExitOK, serve, ""},
		{"help of a group", "help certs", cli.ExitOK, certs, ""},
		{"a group's --help", "certs --help", cli.ExitOK, certs, ""},
		{"a group without a command", "certs", cli.ExitUsage, "", certs},
		{"an unknown command of a group", "certs verfy", cli.ExitUsage, "", "prog: no command \"certs verfy\"\n\n" + certs},
		{"an unknown command", "sevre", cli.ExitUsage, "", "prog: no command \"sevre\"; 'prog --help' lists them\n"},
		{"help of an unknown command", "help sevre", cli.ExitUsage, "", "prog: no command \"sevre\"; 'prog --help' lists them\n"},
		{"the beginning of a command", "serv", cli.ExitUsage, "", "prog: no command \"serv\"; 'prog --help' lists them\n"},
		{"an unknown flag", "serve -nope", cli.ExitUsage, "", "prog serve: flag provided but not defined: -nope\nusage: prog serve [flags] [FILE]\n"},
		{"an argument too many", "serve a b", cli.ExitUsage, "", "prog serve: unexpected argument \"b\" (flags come before arguments)\nusage: prog serve [flags] [FILE]\n"},
		{"a flag after an argument", "serve a -at x", cli.ExitUsage, "", "prog serve: unexpected argument \"-at\" (flags come before arguments)\nusage: prog serve [flags] [FILE]\n"},
		{"a command line that the command refuses", "usage", cli.ExitUsage, "", "prog usage: \"x\" is no file\nusage: prog usage FILE\n"},
		{"a failure", "fail", cli.ExitFailed, "", "prog fail: open x: no such file\n"},
		{"the answer no", "no", cli.ExitFailed, "", ""},
		{"a question that could not be answered", "unanswered", cli.ExitUsage, "", "prog unanswered: verify: unexpected EOF\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, stderr bytes.Buffer
			code := cli.Run(t.Context(), "prog", "about", table(), strings.Fields(tt.args), cli.Streams{Out: &out, Err: &stderr})
			if code != tt.code {
				t.Errorf("exit code = %d, want %d", code, tt.code)
			}
			if out.String() != tt.out {
				t.Errorf("output = %q, want %q", out.String(), tt.out)
			}
			if stderr.String() != tt.err {
				t.Errorf("errors = %q, want %q", stderr.String(), tt.err)
			}
		})
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		args     string
		min, max int
		want     string
	}{
		{"", 0, 0, ""},
		{"a b", 1, 2, ""},
		{"a", 2, 2, "2 argument(s) expected, 1 given"},
		{"a b c", 0, 2, `unexpected argument "c" (flags come before arguments)`},
		{"-x", 0, 0, "flag provided but not defined: -x"},
	} {
		fs := flag.NewFlagSet("c", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		_, err := cli.Parse(fs, strings.Fields(tt.args), tt.min, tt.max)
		var usage *cli.UsageError
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("Parse(%q) = %v", tt.args, err)
		case tt.want != "" && (!errors.As(err, &usage) || err.Error() != tt.want):
			t.Errorf("Parse(%q) = %v, want a usage error %q", tt.args, err, tt.want)
		}
	}
}

func TestUnansweredErrorUnwraps(t *testing.T) {
	if err := error(&cli.UnansweredError{Err: io.EOF}); !errors.Is(err, io.EOF) || err.Error() != "EOF" {
		t.Errorf("error = %v, want its cause", err)
	}
}
