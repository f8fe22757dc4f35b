package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"promess/authgw/internal/agent"
	"promess/authgw/internal/cli"
	"promess/authgw/pkcs11"
)

func listCommand() cli.Command {
	return cli.Command{
		Name: "list", Args: "[--config FILE | --module FILE] [--json]", Summary: "show readers, cards and their authentication certificates",
		Help: "Asks for no PIN. Exits with 1 when there is no usable card.", Run: runList,
	}
}

// listing is the answer of list.
type listing struct {
	Readers []string     `json:"readers"`
	Tokens  []listedCard `json:"tokens"`
	Error   string       `json:"error,omitempty"` // why there is no token
}

type listedCard struct {
	Reader    string    `json:"reader"`
	Serial    string    `json:"serial"`
	Holder    string    `json:"holder"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	PINPad    bool      `json:"pin_pad"`
	PINLast   bool      `json:"pin_last_try"`
	PINLocked bool      `json:"pin_locked"`
	Modes     []string  `json:"modes"`
}

func runList(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	open := cardFlags(fs)
	asJSON := fs.Bool("json", false, "print one JSON object")
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	module, err := open(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	l := listing{Readers: []string{}, Tokens: []listedCard{}}
	// A module may know tokens that PC/SC does not; without any, what PC/SC says explains it best.
	readers, err := pkcs11.Readers(ctx)
	for _, r := range readers {
		l.Readers = append(l.Readers, r.Name)
	}
	tokens, tokenErr := listTokens(ctx, newCards(module, module.Logger))
	l.Tokens = append(l.Tokens, tokens...)
	if err = cmp.Or(err, tokenErr); len(tokens) == 0 && err != nil {
		l.Error = err.Error()
	}
	if *asJSON {
		out := json.NewEncoder(io.Out)
		out.SetIndent("", "  ")
		if err := out.Encode(l); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	} else {
		printListing(io, l)
	}
	if len(l.Tokens) == 0 {
		return cli.ErrNegative
	}
	return nil
}

func listTokens(ctx context.Context, c *cards) (list []listedCard, err error) {
	use, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, use.Close()) }()
	tokens, err := use.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tokens {
		info := t.Info()
		card := listedCard{
			Reader: info.Reader, Serial: info.Serial, Holder: agent.HolderName(info.Certificate),
			NotBefore: info.Certificate.NotBefore, NotAfter: info.Certificate.NotAfter,
			PINPad: info.PINPad, PINLast: info.PINLast, PINLocked: info.PINLocked,
		}
		for _, k := range t.Keys() {
			card.Modes = append(card.Modes, k.Name)
		}
		list = append(list, card)
	}
	return list, nil
}

func printListing(io cli.Streams, l listing) {
	for _, r := range l.Readers {
		fmt.Fprintf(io.Out, "reader: %s\n", r)
	}
	if l.Error != "" {
		fmt.Fprintf(io.Out, "no card: %s\n", l.Error)
	}
	for _, c := range l.Tokens {
		tw := tabwriter.NewWriter(io.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(tw, "\ncard of %s\n", c.Holder)
		fmt.Fprintf(tw, "  number\t%s\n  reader\t%s\n", c.Serial, c.Reader)
		fmt.Fprintf(tw, "  valid\t%s to %s\n", c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))
		fmt.Fprintf(tw, "  signs\t%v\n  PIN\t%s\n", c.Modes, pinState(c))
		tw.Flush()
	}
}

func pinState(c listedCard) string {
	switch {
	case c.PINLocked:
		return "locked"
	case c.PINLast:
		return "last try"
	case c.PINPad:
		return "on the reader"
	}
	return "ready"
}
