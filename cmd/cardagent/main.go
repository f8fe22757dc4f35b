// Command cardagent lets a browser sign in to a gateway with the card in the reader of this workstation.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"promess/authgw/internal/cli"
)

const about = "cardagent answers a gateway's TLS client challenge with the CPS or CPE card in this workstation's reader."

// commands is the table of the command line, in the order of its help.
func commands() []cli.Command {
	return []cli.Command{serveCommand(), listCommand(), signTestCommand(), hostCommand()}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Run(ctx, "cardagent", about, commands(), os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
