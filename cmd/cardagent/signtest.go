package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"promess/authgw/internal/agent"
	"promess/authgw/internal/cli"
)

func signTestCommand() cli.Command {
	return cli.Command{
		Name: "sign-test", Args: "[--config FILE | --module FILE] [--token N]", Summary: "log in to the card and sign random data in each way it can",
		Help: "Asks for the PIN on the terminal, once, or reads it from standard input. A wrong PIN costs a try.\n" +
			"Exits with 1 when the card signs in no way.",
		Run: runSignTest,
	}
}

func runSignTest(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	open := cardFlags(fs)
	which := fs.Int("token", 1, "which card of 'cardagent list', the first is `1`")
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	module, err := open(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	began := time.Now()
	use, err := newCards(module, module.Logger).Open(ctx)
	if err != nil {
		return err
	}
	tokens, err := use.Tokens(ctx)
	if err == nil && (*which < 1 || *which > len(tokens)) {
		err = fmt.Errorf("no card %d: 'cardagent list' shows %d", *which, len(tokens))
	}
	if err == nil {
		fmt.Fprintf(io.Out, "cards listed in %v\n", since(began))
		err = signTest(ctx, tokens[*which-1], io)
	}
	return errors.Join(err, use.Close())
}

// signTest logs in and signs.
func signTest(ctx context.Context, token agent.Token, io cli.Streams) error {
	info := token.Info()
	fmt.Fprintf(io.Out, "card of %s in %s\n", agent.HolderName(info.Certificate), info.Reader)
	pin, err := readPIN(info, io)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := token.Login(ctx, pin); err != nil {
		return err
	}
	fmt.Fprintf(io.Out, "PIN accepted in %v\n", since(began))
	worked := 0
	for _, key := range token.Keys() {
		began := time.Now()
		if err := signOnce(info, key); err != nil {
			fmt.Fprintf(io.Out, "%-14s failed: %v\n", key.Name, err)
			continue
		}
		worked++
		fmt.Fprintf(io.Out, "%-14s signed and verified in %v\n", key.Name, since(began))
	}
	if worked == 0 {
		return cli.ErrNegative
	}
	return nil
}

// signOnce signs random data as TLS would, and verifies it with the certificate.
func signOnce(info agent.TokenInfo, key agent.Key) error {
	data := make([]byte, 64)
	rand.Read(data) // never fails, says its documentation
	digest := sha256.Sum256(data)
	var opts crypto.SignerOpts = crypto.SHA256
	if slices.Contains(key.Schemes, tls.PSSWithSHA256) {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	}
	sig, err := key.Signer.Sign(rand.Reader, digest[:], opts)
	if err != nil {
		return err
	}
	if !agent.Verifies(info.Certificate.PublicKey, digest[:], sig, opts) {
		return errors.New("the signature does not verify")
	}
	return nil
}

// readPIN reads without echo from a terminal, or a line from standard input. What is not a PIN goes no further.
func readPIN(info agent.TokenInfo, streams cli.Streams) (string, error) {
	switch {
	case info.PINLocked:
		return "", agent.ErrPINLocked
	case info.PINLast:
		fmt.Fprintln(streams.Err, "Dernier essai : un code incorrect bloquera la carte. / Last try: a wrong PIN will lock the card.")
	}
	if info.PINPad {
		fmt.Fprintln(streams.Err, "Saisissez le code sur le lecteur. / Type the PIN on the reader.")
		return "", nil
	}
	pin, err := readLine(streams)
	if err != nil {
		return "", fmt.Errorf("read PIN: %w", err)
	}
	if !agent.ValidPIN(pin, info) {
		return "", fmt.Errorf("nothing was sent to the card: %w", agent.ErrPINNotAccepted)
	}
	return pin, nil
}

func readLine(streams cli.Streams) (string, error) {
	if f, ok := streams.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(streams.Err, "Code porteur / PIN: ")
		pin, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(streams.Err)
		return string(pin), err
	}
	line, err := bufio.NewReader(io.LimitReader(streams.In, 256)).ReadString('\n')
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

func since(t time.Time) time.Duration { return time.Since(t).Round(100 * time.Microsecond) }
