package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/term"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/cli"
	"promess/authgw/internal/store"
)

func auditVerify() cli.Command {
	return cli.Command{
		Name:    "audit verify",
		Args:    "--config FILE [--head HASH]",
		Summary: "say whether the audit trail is as it was written",
		Help: `
Reads the whole trail from the database of the configuration and names each record that was removed, altered,
reordered or inserted, by its number, with what is wrong. Prints how many records there are and the head, the
hash of the last one. It changes nothing, and the gateway may run meanwhile.

A chain cannot show that its end was cut off, nor that somebody has written all of it anew from some record on.
With --head it is seen: give a head that was noted earlier and elsewhere. The gateway logs one at each start,
this command prints one, and "prev" in each copy of an event (standard output, syslog) is one.

exit status:
  0  the trail is as it was written, as far as can be seen
  1  it is not
  2  there is no answer: a wrong command line, or a database that cannot be read (see stderr)

  authgw audit verify --config /etc/authgw/authgw.yaml --head 5f2c…`,
		Run: runAuditVerify,
	}
}

func auditExport() cli.Command {
	return cli.Command{
		Name:    "audit export",
		Args:    "--config FILE [--format jsonl|csv] [--subject SUBJECT] [--from RFC3339] [--to RFC3339]",
		Summary: "write the events of the audit trail to standard output",
		Help: `
Writes the chosen events in the order of the trail. jsonl: one JSON object a line, as it was hashed, with the
hash as its last key. csv: RFC 4180 with a header, for spreadsheets; a cell that a spreadsheet would take for a
formula has an apostrophe before it. That it was done, and by whom, is an event of the trail too.

  authgw audit export --config /etc/authgw/authgw.yaml --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z > november.jsonl
  authgw audit export --config /etc/authgw/authgw.yaml --format csv --subject kq2v… > person.csv`,
		Run: runAuditExport,
	}
}

// openTrail is openDatabase, but for a SQLite file that is not there. None is made: a trail without records would be good.
func openTrail(ctx context.Context, file string, stderr io.Writer) (*database, error) {
	c, err := loadConfig(file)
	if err != nil {
		return nil, err
	}
	if !store.IsPostgres(c.Database) {
		if _, err := os.Stat(c.Database); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("database %q: no such file; the gateway makes it at its first start", c.Database)
		}
	}
	return openDatabase(ctx, c, stderr)
}

var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

func runAuditVerify(ctx context.Context, flags *flag.FlagSet, args []string, streams cli.Streams) error {
	file := flags.String("config", "", "configuration `FILE` (YAML)")
	head := flags.String("head", "", "`HASH` of a record that was the last one earlier: it must still be there")
	if _, err := cli.Parse(flags, args, 0, 0); err != nil {
		return err
	}
	noted := strings.ToLower(strings.TrimSpace(*head))
	if *head != "" && !hashPattern.MatchString(noted) {
		return cli.Usagef("--head is not 64 hexadecimal digits")
	}
	db, err := openTrail(ctx, *file, streams.Err)
	if err != nil {
		return unanswered(err)
	}
	defer db.store.Close()

	out := bufio.NewWriter(streams.Out)
	p := newProgress(streams.Err)
	report, err := audit.Verify(ctx, counted{db.store, p}, noted, func(f audit.Finding) { fmt.Fprintln(out, f) })
	p.end()
	if err != nil {
		out.Flush()
		return &cli.UnansweredError{Err: err}
	}
	fmt.Fprintf(out, "records: %d\nhead: %s\n", report.Records, report.Head)
	if report.NotedAt > 0 {
		fmt.Fprintf(out, "the head that was noted is that of record %d\n", report.NotedAt)
	}
	switch {
	case report.Findings == 0:
		fmt.Fprintln(out, "the trail is as it was written")
	case report.First != 0:
		fmt.Fprintf(out, "the trail is NOT as it was written: %d finding(s), the first at record %d\n", report.Findings, report.First)
	default:
		fmt.Fprintf(out, "the trail is NOT as it was written: %d finding(s)\n", report.Findings)
	}
	if err := out.Flush(); err != nil {
		return &cli.UnansweredError{Err: fmt.Errorf("print the answer: %w", err)}
	}
	if report.Findings > 0 {
		return cli.ErrNegative
	}
	return nil
}

// unanswered makes an error one that is no answer, unless it is about the command line.
func unanswered(err error) error {
	var usage *cli.UsageError
	if errors.As(err, &usage) {
		return err
	}
	return &cli.UnansweredError{Err: err}
}

// counted is a trail whose reading can be watched.
type counted struct {
	audit.Reader
	p *progress
}

func (c counted) AuditRecords(ctx context.Context, f store.AuditFilter, each func(store.AuditRecord) error) error {
	var n int64
	return c.Reader.AuditRecords(ctx, f, func(r store.AuditRecord) error {
		n++
		c.p.show(n)
		return each(r)
	})
}

func runAuditExport(ctx context.Context, flags *flag.FlagSet, args []string, streams cli.Streams) error {
	var f store.AuditFilter
	file := flags.String("config", "", "configuration `FILE` (YAML)")
	format := flags.String("format", string(audit.JSONL), "`FORMAT` of the output: jsonl or csv")
	flags.StringVar(&f.Subject, "subject", "", "only events of the account with this `SUBJECT`")
	from := flags.String("from", "", "only events from this `TIME` on (2026-11-24T09:00:00Z)")
	to := flags.String("to", "", "only events before this `TIME`")
	if _, err := cli.Parse(flags, args, 0, 0); err != nil {
		return err
	}
	if *format != string(audit.JSONL) && *format != string(audit.CSV) {
		return cli.Usagef("--format %q is neither jsonl nor csv", *format)
	}
	if err := parseTimes(&f, *from, *to); err != nil {
		return err
	}
	db, err := openTrail(ctx, *file, streams.Err)
	if err != nil {
		return err
	}
	defer db.store.Close()
	if err := db.recordExport(ctx, *format, f); err != nil {
		return err
	}

	out := bufio.NewWriterSize(streams.Out, 1<<16)
	p := newProgress(streams.Err)
	n, err := audit.Export(ctx, db.store, f, audit.Format(*format), out, p.show)
	p.end()
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		return fmt.Errorf("the output is not complete: stopped after %d events: %w", n, err)
	}
	return nil
}

func parseTimes(f *store.AuditFilter, from, to string) error {
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"--from", from, &f.From}, {"--to", to, &f.To}} {
		if t.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, t.text)
		if err != nil {
			return cli.Usagef("%s %q is not a time like 2026-11-24T09:00:00Z", t.flag, t.text)
		}
		*t.to = at
	}
	if !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		return cli.Usagef("--from %s is not before --to %s", from, to)
	}
	return nil
}

// recordExport writes down who reads what, before they do.
func (d *database) recordExport(ctx context.Context, format string, f store.AuditFilter) error {
	l, err := d.openAudit(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	detail := "format " + format
	if !f.From.IsZero() {
		detail += ", from " + f.From.UTC().Format(time.RFC3339)
	}
	if !f.To.IsZero() {
		detail += ", to " + f.To.UTC().Format(time.RFC3339)
	}
	return l.Record(audit.Event{Kind: audit.Exported, Subject: f.Subject, Actor: audit.Operator(), Action: "audit export", Detail: detail})
}

// progress is a line on a terminal that counts. Elsewhere it is nothing.
type progress struct {
	w    io.Writer // nil: no terminal
	last time.Time
}

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		w = nil
	}
	return &progress{w: w, last: time.Now()}
}

func (p *progress) show(n int64) {
	if p.w == nil || n%1000 != 0 {
		return
	}
	if now := time.Now(); now.Sub(p.last) > 200*time.Millisecond {
		p.last = now
		fmt.Fprintf(p.w, "\r%d records", n)
	}
}

func (p *progress) end() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
