package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"promess/authgw/internal/store"
)

// label begins what is hashed, so that no hash of anything else is one of a record.
const label = "authgw audit record v1\x00"

// Empty is the head of a trail without records: what the first record says it follows.
var Empty = strings.Repeat("0", 2*sha256.Size)

// body is what a record holds: the event, its number, and the hash of the record before. Each record tells on its own whether it is
// whole and where it belongs; the hashes of all say that none is missing.
type body struct {
	Seq  int64  `json:"seq"`
	Prev string `json:"prev"`
	Event
}

// digest returns the hash of a record in lower-case hexadecimal: SHA-256 of the label, the hash of the record before (32 bytes; of
// the first record, zeros), its number (8 bytes, big endian) and its body. ok is false when prev is no hash.
func digest(prev string, seq int64, text string) (hash string, ok bool) {
	before, err := hex.DecodeString(prev)
	if err != nil || len(before) != sha256.Size {
		return "", false
	}
	h := sha256.New()
	h.Write([]byte(label))
	h.Write(before)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(seq)))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil)), true
}

// head is where the next record goes: after the record of this number and hash.
type head struct {
	seq  int64
	hash string
}

func headOf(last store.AuditRecord) head {
	if last.Seq == 0 {
		return head{0, Empty}
	}
	return head{last.Seq, last.Hash}
}

// seal makes the record of an event that follows h.
func (h head) seal(e Event) (store.AuditRecord, error) {
	text, err := json.Marshal(body{Seq: h.seq + 1, Prev: h.hash, Event: e})
	if err != nil {
		return store.AuditRecord{}, fmt.Errorf("write audit event: %w", err)
	}
	hash, ok := digest(h.hash, h.seq+1, string(text))
	if !ok {
		return store.AuditRecord{}, fmt.Errorf("the hash of audit record %d is none: 'authgw audit verify' says more", h.seq)
	}
	return store.AuditRecord{Seq: h.seq + 1, At: e.Time, Kind: string(e.Kind), Subject: e.Subject, Body: string(text), Hash: hash}, nil
}
