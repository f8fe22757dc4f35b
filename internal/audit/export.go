package audit

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"promess/authgw/internal/store"
)

// Format is how records are exported.
type Format string

// The formats.
const (
	JSONL Format = "jsonl" // one JSON object a line: the body as it was hashed, with the hash as its last key
	CSV   Format = "csv"   // RFC 4180, for spreadsheets: see cell
)

// Export writes the records that f chooses and returns how many. It calls progress, unless that is nil, after each.
func Export(ctx context.Context, r Reader, f store.AuditFilter, format Format, w io.Writer, progress func(n int64)) (int64, error) {
	write, flush := exportJSONL(w)
	if format == CSV {
		write, flush = exportCSV(w)
	}
	var n int64
	err := r.AuditRecords(ctx, f, func(r store.AuditRecord) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := write(r); err != nil {
			return fmt.Errorf("write record %d: %w", r.Seq, err)
		}
		n++
		if progress != nil {
			progress(n)
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	return n, err
}

// damaged is what is exported of a record whose body is no event: it was altered, and must not alter the lines around it.
type damaged struct {
	Seq     int64  `json:"seq"`
	Damaged bool   `json:"damaged"`
	Body    string `json:"body"`
	Hash    string `json:"hash"`
}

func exportJSONL(w io.Writer) (write func(store.AuditRecord) error, flush func() error) {
	var line []byte
	write = func(r store.AuditRecord) error {
		if whole(r) {
			line = append(append(line[:0], r.Body[:len(r.Body)-1]...), `,"hash":"`...)
			line = append(append(line, r.Hash...), "\"}\n"...)
		} else {
			text, err := json.Marshal(damaged{r.Seq, true, r.Body, r.Hash})
			if err != nil {
				return err
			}
			line = append(append(line[:0], text...), '\n')
		}
		_, err := w.Write(line)
		return err
	}
	return write, func() error { return nil }
}

// whole says whether a body is one JSON object on one line, and the hash one, so that both can stand in a line as they are.
func whole(r store.AuditRecord) bool {
	line := strings.HasPrefix(r.Body, `{"`) && strings.HasSuffix(r.Body, "}") && !strings.ContainsAny(r.Body, "\r\n")
	_, hash := digest(r.Hash, 0, "")
	return line && hash && json.Valid([]byte(r.Body))
}

// header names the columns of a CSV export.
var header = []string{
	"seq", "time", "kind", "outcome", "reason", "subject", "session", "actor", "action", "method", "factor", "acr", "source",
	"browser", "fingerprint", "issuer", "service", "client", "support", "detail", "hash",
}

func exportCSV(w io.Writer) (write func(store.AuditRecord) error, flush func() error) {
	out := csv.NewWriter(w)
	out.UseCRLF = true // RFC 4180, section 2, rule 1
	begun := false
	begin := func() error {
		if begun {
			return nil
		}
		begun = true
		return out.Write(header)
	}
	write = func(r store.AuditRecord) error {
		if err := begin(); err != nil {
			return err
		}
		var e body
		detail := ""
		if json.Unmarshal([]byte(r.Body), &e) != nil {
			e, detail = body{Event: Event{Time: r.At, Kind: Kind(r.Kind), Subject: r.Subject}}, "damaged: "+r.Body
		} else {
			detail = e.Detail
		}
		row := []string{
			strconv.FormatInt(r.Seq, 10), e.Time.UTC().Format(time.RFC3339Nano), string(e.Kind), e.Outcome, e.Reason, e.Subject, e.Session,
			e.Actor, e.Action, e.Method, e.Factor, e.ACR, e.Source, e.Browser, e.Fingerprint, e.Issuer, e.Service, e.Client, e.Support, detail, r.Hash,
		}
		for i := 1; i < len(row); i++ {
			row[i] = cell(row[i])
		}
		return out.Write(row)
	}
	flush = func() error {
		if err := begin(); err != nil {
			return err
		}
		out.Flush()
		return out.Error()
	}
	return write, flush
}

// cell puts an apostrophe before what a spreadsheet would take for a formula, and run: a name that an attacker chose may be one. The list
// is that of OWASP ("CSV Injection"), with the wide forms that East Asian versions take for the narrow ones.
func cell(s string) string {
	if first, size := utf8.DecodeRuneInString(s); size > 0 && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + s
	}
	return s
}
