package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"syscall"

	"promess/authgw/internal/agent"
	"promess/authgw/internal/agent/dialog"
	"promess/authgw/internal/cli"
	"promess/authgw/internal/config"
	"promess/authgw/internal/web"
)

// version is told to gateways; the release build sets it.
const version = "0.1"

func serveCommand() cli.Command {
	return cli.Command{
		Name: "serve", Args: "--config FILE", Summary: "wait for a browser that a gateway sends here",
		Help: "Listens on 127.0.0.1 only, and signs only for the gateways of the configuration. Ends with Ctrl-C.\n\n" +
			"  cardagent serve --config /etc/cardagent/agent.yaml",
		Run: runServe,
	}
}

func runServe(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	file := fs.String("config", "", "configuration `file` (YAML)")
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	if *file == "" {
		return cli.Usagef("--config FILE is missing")
	}
	c, err := config.LoadAgent(*file)
	if err != nil {
		return err
	}
	log := c.Log.Logger(io.Err)
	server, err := newServer(c, log)
	if err != nil {
		return err
	}
	ln, err := listen(ctx, c.Port)
	if err != nil {
		return err
	}
	fmt.Fprintf(io.Out, "cardagent listens on http://%s\n", ln.Addr())
	return server.Serve(ctx, ln)
}

// newServer wires the agent from its configuration.
func newServer(c *config.Agent, log *slog.Logger) (*agent.Server, error) {
	gateways, err := openGateways(c.Gateways)
	if err != nil {
		return nil, err
	}
	prompt, err := dialog.Find(dialog.Config{Kind: c.PIN.Dialog, Program: c.PIN.Program})
	if err != nil {
		return nil, fmt.Errorf("pin.dialog: %w", err)
	}
	var origins []string
	for _, g := range gateways {
		origins = append(origins, g.Origin)
	}
	pages, err := web.NewPages(web.Site{Name: "Agent de carte", Agent: true, FormAction: origins, Log: log})
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	module, err := moduleConfig(c, log)
	if err != nil {
		return nil, err
	}
	return agent.New(agent.Config{
		Gateways: gateways, Cards: newCards(module, log), Prompt: prompt, Pages: pages, Logger: log, Version: version,
		PINTimeout: c.PIN.Timeout, CardTimeout: c.Timeout,
	})
}

// openGateways reads the authorities of each gateway. A file that holds none stops the start: with an empty pool, or the
// system's instead of the one that was meant, the agent would sign for the wrong server, or for none (lesson A1).
func openGateways(list []config.Trusted) ([]agent.Gateway, error) {
	var gateways []agent.Gateway
	for _, t := range list {
		g := agent.Gateway{Name: t.Name, Title: t.Title, Origin: t.Origin, Card: t.Card, Dial: t.Dial}
		if t.CA != "" {
			pem, err := os.ReadFile(t.CA)
			if err != nil {
				return nil, fmt.Errorf("gateway %q: read ca: %w", t.Name, err)
			}
			g.Roots = x509.NewCertPool()
			if !g.Roots.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("gateway %q: ca: %s holds no certificate in PEM", t.Name, t.CA)
			}
		}
		gateways = append(gateways, g)
	}
	return gateways, nil
}

// listen takes the port on loopback, or says what to do.
func listen(ctx context.Context, port uint16) (net.Listener, error) {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp4", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken: another cardagent runs already (of this user, or of another session of this "+
			"workstation), or another program listens there; end it, or change \"port\" in the configuration", address)
	}
	return ln, err
}
