package pkcs11

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/miekg/pkcs11"
)

// What parent and child say to each other: a length of four bytes, big-endian, then JSON. One request, one answer, in order.
// The first frame is the child's: whether the module could be loaded.

// maxFrame bounds a frame in bytes: a token's certificates are some kilobytes each.
const maxFrame = 4 << 20

const (
	opList   = "list"
	opLogin  = "login"
	opSign   = "sign"
	opLogout = "logout"
)

type request struct {
	Op   string
	Slot uint
	PIN  []byte `json:",omitempty"`
	ID   []byte `json:",omitempty"` // CKA_ID of the key
	Mode Mode   `json:",omitempty"`
	Data []byte `json:",omitempty"` // what goes into C_Sign
}

type answer struct {
	Failed    string      `json:",omitempty"` // the PKCS#11 function that failed
	Code      uint        `json:",omitempty"` // its CKR_*
	Load      string      `json:",omitempty"` // why the module could not be loaded
	NoKey     bool        `json:",omitempty"`
	BadCall   string      `json:",omitempty"` // a request that the child does not understand
	Slots     int         `json:",omitempty"` // with and without a token
	Unusable  []string    `json:",omitempty"` // tokens that could not be read, and why
	Tokens    []wireToken `json:",omitempty"`
	Token     *wireToken  `json:",omitempty"` // after a login: its flags
	Signature []byte      `json:",omitempty"`
}

type wireToken struct {
	Slot                                       uint
	Reader, Label, Model, Manufacturer, Serial string
	Removable                                  bool // the slot is a reader
	Flags                                      tokenFlags
	MinPIN, MaxPIN                             uint
	Mechanisms                                 []uint
	Certificates                               []wireCertificate
}

type wireCertificate struct {
	ID, DER []byte
	Label   string
}

// tokenFlags are the CKF_* of CK_TOKEN_INFO.
type tokenFlags uint

func (f tokenFlags) pinPad() bool   { return f&pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH != 0 }
func (f tokenFlags) countLow() bool { return f&pkcs11.CKF_USER_PIN_COUNT_LOW != 0 }
func (f tokenFlags) finalTry() bool { return f&pkcs11.CKF_USER_PIN_FINAL_TRY != 0 }
func (f tokenFlags) locked() bool   { return f&pkcs11.CKF_USER_PIN_LOCKED != 0 }

func writeFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	if len(body) > maxFrame {
		return fmt.Errorf("encode frame: %d bytes are too many", len(body))
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	_, err = w.Write(append(frame, body...))
	return err
}

func readFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return fmt.Errorf("read frame: %d bytes are too many", n)
	}
	// Grows with what comes, not with what the length claims.
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return err
	}
	if len(body) < int(n) {
		return io.ErrUnexpectedEOF
	}
	if err := json.Unmarshal(body, v); err != nil {
		// The text of the JSON error could quote the frame, and so a PIN.
		return fmt.Errorf("read frame: not JSON")
	}
	return nil
}
