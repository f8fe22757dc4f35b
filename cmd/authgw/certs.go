package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"promess/authgw/certs"
	"promess/authgw/internal/cli"
)

func certsVerify() cli.Command {
	return cli.Command{
		Name:    "certs verify",
		Args:    "--trust DIR [--crl FILE]… [--issuer NAME]… [--allow-test] [--at RFC3339] CERT.pem",
		Summary: "say whether a card certificate would be accepted, and why not",
		Help: `
Judges the first certificate of CERT.pem (PEM or DER) as the gateway does at a login, and prints one JSON
object: valid, reason, detail, holder, serial, issuer, fingerprint_sha256. It fetches nothing: without the
revocation list of the card's issuer and that of the issuer's root, the answer is revocation_unknown.

exit status:
  0  the certificate would be accepted
  1  it is refused; "reason" says why
  2  there is no answer: a wrong command line, or a file or directory that cannot be used (see stderr)

reasons: none, malformed, test_card, unknown_issuer, software_certificate, wrong_usage,
unsupported_card_type, not_yet_valid, expired, revoked, revocation_unknown

  authgw certs verify --trust /etc/authgw/igc --crl ACI-FO-PP.crl --crl ACR-FO.crl card.pem`,
		Run: runCertsVerify,
	}
}

// verifyOptions is the command line of certs verify.
type verifyOptions struct {
	trust, at            string
	crls, issuers        []string
	allowTest, skip, svc bool
}

func (o *verifyOptions) declare(fs *flag.FlagSet) {
	fs.StringVar(&o.trust, "trust", "", "`DIR` of the authorities' certificates, PEM or DER: self-signed ones are roots, others intermediates")
	fs.Func("crl", "revocation list `FILE`, PEM or DER; may be repeated", appendTo(&o.crls))
	fs.Func("issuer", "common `NAME` of an intermediate that may issue cards, instead of the rule of IGC-Santé; may be repeated", appendTo(&o.issuers))
	fs.StringVar(&o.at, "at", "", "judge as of this `time` (2026-11-24T09:00:00Z) instead of now")
	fs.BoolVar(&o.allowTest, "allow-test", false, "accept test cards")
	fs.BoolVar(&o.svc, "allow-service", false, "accept cards that name a service and no person")
	fs.BoolVar(&o.skip, "insecure-skip-revocation", false, "accept a certificate whose issuer has no list among those given")
}

func appendTo(list *[]string) func(string) error {
	return func(value string) error {
		*list = append(*list, value)
		return nil
	}
}

// verdictJSON is the answer. Programs rely on it: every key is always there.
type verdictJSON struct {
	Valid       bool         `json:"valid"`
	Reason      certs.Reason `json:"reason"`
	Detail      string       `json:"detail"`
	Holder      certs.Holder `json:"holder"`
	Serial      string       `json:"serial"`
	Issuer      string       `json:"issuer"`
	Fingerprint string       `json:"fingerprint_sha256"`
}

func runCertsVerify(_ context.Context, fs *flag.FlagSet, args []string, streams cli.Streams) error {
	var o verifyOptions
	o.declare(fs)
	rest, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	if o.trust == "" {
		return cli.Usagef("--trust is missing: the directory of the authorities' certificates")
	}
	verifier, err := o.verifier()
	if err != nil {
		return err
	}
	der, err := readCertificate(rest[0])
	if err != nil {
		return &cli.UnansweredError{Err: err}
	}

	answer := verdictJSON{Valid: true}
	verdict, err := verifier.Verify(der)
	var refusal *certs.Refusal
	if errors.As(err, &refusal) {
		answer.Valid, answer.Reason, answer.Detail = false, refusal.Reason, refusal.Detail
	} else if err != nil {
		return &cli.UnansweredError{Err: err} // unreachable: the errors of Verify are refusals
	}
	answer.Holder, answer.Serial, answer.Issuer, answer.Fingerprint = verdict.Holder, verdict.Serial, verdict.Issuer, verdict.Fingerprint
	out := json.NewEncoder(streams.Out)
	out.SetEscapeHTML(false)
	if err := out.Encode(answer); err != nil {
		return &cli.UnansweredError{Err: fmt.Errorf("print the answer: %w", err)}
	}
	if !answer.Valid {
		return cli.ErrNegative
	}
	return nil
}

// verifier is made of what the command line names.
func (o *verifyOptions) verifier() (*certs.Verifier, error) {
	c := certs.Config{AllowTest: o.allowTest, AllowService: o.svc, InsecureSkipRevocation: o.skip}
	if o.at != "" {
		at, err := time.Parse(time.RFC3339, o.at)
		if err != nil {
			return nil, cli.Usagef("--at %q is not a time like 2026-11-24T09:00:00Z", o.at)
		}
		c.Now = func() time.Time { return at }
	}
	var err error
	if c.Trust, err = certs.LoadTrust(o.trust, o.issuers); err != nil {
		return nil, &cli.UnansweredError{Err: err}
	}
	if c.CRLs, err = certs.LoadCRLs(c.Trust, o.crls); err != nil {
		return nil, &cli.UnansweredError{Err: err}
	}
	return certs.NewVerifier(c)
}

// maxCertificateFile bounds CERT.pem, which may hold text and a chain beside the certificate.
const maxCertificateFile = 1 << 20

// readCertificate returns the first certificate of a PEM file, or a file without PEM as it is. What is no certificate is for Verify
// to refuse: that is an answer.
func readCertificate(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCertificateFile))
	if err != nil {
		return nil, err
	}
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return data, nil
		}
		if block.Type == "CERTIFICATE" {
			return block.Bytes, nil
		}
	}
}
