package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/config"
	"promess/authgw/pkcs11"
)

// hostName is the command with which cardagent starts itself to hold a PKCS#11 module.
const hostName = "pkcs11-host"

func hostCommand() cli.Command {
	return cli.Command{
		Name: hostName, Args: "MODULE", Summary: "hold a PKCS#11 module for cardagent", Hidden: true,
		Help: "Started by cardagent itself; speaks on standard input and output.",
		Run: func(_ context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
			rest, err := cli.Parse(fs, args, 1, 1)
			if err != nil {
				return err
			}
			return pkcs11.Serve(rest[0], io.In, io.Out)
		},
	}
}

// moduleConfig says how to start the module of a configuration.
func moduleConfig(c *config.Agent, log *slog.Logger) (pkcs11.Config, error) {
	self, err := os.Executable()
	if err != nil {
		return pkcs11.Config{}, fmt.Errorf("find this program: %w", err)
	}
	return pkcs11.Config{
		Module: c.Module, Command: []string{self, hostName}, CallTimeout: c.Timeout, PadTimeout: c.PIN.Timeout, NoReset: c.NoReset, Logger: log,
	}, nil
}

// knownModules is where the modules of health cards are: Cryptolib CPS, then OpenSC.
var knownModules = [...]string{
	"/opt/santesocial/CPS/lib/libcps3_pkcs11_lux.so",
	"/usr/local/lib/libcps3_pkcs11_osx.dylib",
	`C:\Windows\System32\cps3_pkcs11_w64.dll`,
	"/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
	"/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so",
	"/usr/lib64/opensc-pkcs11.so",
	"/Library/OpenSC/lib/opensc-pkcs11.so",
}

// cardFlags declares the flags of the commands that need a card but no gateway, and returns what reads them.
func cardFlags(fs *flag.FlagSet) func(*slog.Logger) (pkcs11.Config, error) {
	file := fs.String("config", "", "configuration `file` of the agent (YAML), for its module and times")
	module := fs.String("module", "", "PKCS#11 module, a `file`; default: that of the configuration, or the first known place")
	return func(log *slog.Logger) (pkcs11.Config, error) {
		c := &config.Agent{Timeout: 15 * time.Second, PIN: config.PIN{Timeout: time.Minute}}
		if *file != "" {
			loaded, err := config.LoadAgent(*file)
			if err != nil {
				return pkcs11.Config{}, err
			}
			c = loaded
		}
		if *module != "" {
			path, err := filepath.Abs(*module)
			if err != nil {
				return pkcs11.Config{}, fmt.Errorf("--module: %w", err)
			}
			c.Module = path
		}
		for _, known := range knownModules {
			if _, err := os.Stat(known); c.Module == "" && err == nil {
				c.Module = known
			}
		}
		if c.Module == "" {
			return pkcs11.Config{}, cli.Usagef("no PKCS#11 module is in a known place: install the card's software, or give --module FILE")
		}
		return moduleConfig(c, log)
	}
}
