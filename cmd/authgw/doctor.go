package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"

	"promess/authgw/internal/cli"
	"promess/authgw/internal/config"
	"promess/authgw/internal/doctor"
)

func doctorCommand() cli.Command {
	return cli.Command{
		Name:    "doctor",
		Args:    "--config FILE [--json]",
		Summary: "look at an installation and say what to do",
		Help: `
Checks the configuration, names, certificates, permissions, authorities, revocation lists, the clock, the
database, backends, the mail server, and whether the gateway runs. It changes nothing; run it as the user of
the gateway, on its machine. Prints one line for each check: ok, warning or error, what was found, and what
to do. Exits 0 without an error, 1 with one, 2 when it cannot look.

  sudo -u authgw authgw doctor --config /etc/authgw/authgw.yaml`,
		Run: runDoctor,
	}
}

func runDoctor(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	file := fs.String("config", "", "configuration `FILE` (YAML)")
	asJSON := fs.Bool("json", false, "print one JSON array of objects: check, status, text, do")
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	if *file == "" {
		return cli.Usagef("--config FILE is missing")
	}
	c, err := config.LoadGateway(*file)
	var refused *config.Refused
	var findings []doctor.Finding
	switch {
	case errors.As(err, &refused):
		findings = doctor.Refused(refused)
	case err != nil:
		return &cli.UnansweredError{Err: err}
	default:
		findings = doctor.Examine(ctx, doctor.Config{Gateway: c})
	}
	if err := printFindings(io.Out, findings, *asJSON); err != nil {
		return err
	}
	for _, f := range findings {
		if f.Status == doctor.Error {
			return cli.ErrNegative
		}
	}
	return nil
}

func printFindings(w io.Writer, findings []doctor.Finding, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return e.Encode(findings)
	}
	for _, f := range findings {
		do := ""
		if f.Do != "" {
			do = " → " + f.Do
		}
		if _, err := fmt.Fprintf(w, "%-8s %-16s %s%s\n", f.Status, f.Check, f.Text, do); err != nil {
			return err
		}
	}
	return nil
}
