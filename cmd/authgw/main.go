// Command authgw is the gateway: login pages, certificate validation against IGC-Santé, sessions, portal and reverse proxy.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"promess/authgw/internal/cli"
)

const about = "authgw opens a mailbox and other services to health professionals who sign in with their card, or in another strong way."

// commands is the table of the command line, in the order of its help.
func commands() []cli.Command {
	return []cli.Command{
		serve(),
		demoCommand(),
		configCheck(),
		certsVerify(),
		doctorCommand(),
		userAdd(),
		userImport(),
		userList(),
		userShow(),
		userDisable(),
		userEnable(),
		userInvite(),
		userUnlock(),
		userReset(),
		clientAdd(),
		clientList(),
		clientShow(),
		clientSet(),
		clientRemove(),
		clientRotateSecret(),
		keysList(),
		keysRotate(),
		auditVerify(),
		auditExport(),
		hashCommand(),
	}
}

func main() {
	// A second signal ends the process at once: stop gives the default action back when the first one arrives.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Run(ctx, "authgw", about, commands(), os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
