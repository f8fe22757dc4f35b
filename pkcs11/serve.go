package pkcs11

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/miekg/pkcs11"
)

// Serve is the child's side: it loads the module and answers the requests of r on w until r ends. The hidden command of the
// program calls it with os.Stdin and os.Stdout, and nothing else runs in that process: Serve moves these pipes out of reach of a
// module that prints, and turns core dumps and tracing off. When r ends it returns at once, also while the module hangs;
// the caller then exits without ceremony.
func Serve(module string, r io.Reader, w io.Writer) error {
	r, w, err := hidePipes(r, w)
	if err != nil {
		return fmt.Errorf("serve the PKCS#11 module: %w", err)
	}
	harden()

	requests := make(chan request, 1)
	defer close(requests)
	failed := make(chan error, 1)
	go func() { failed <- work(module, requests, w) }() // ends after requests is closed; a module that hangs keeps it until the exit

	frames := make(chan request)
	ended := make(chan error, 1)
	go func() { ended <- readRequests(r, frames) }() // ends with r
	for {
		select {
		case req := <-frames:
			select {
			case requests <- req:
			default:
				return errors.New("serve the PKCS#11 module: a request came before the answer to the last")
			}
		case err := <-ended:
			return err
		case err := <-failed:
			return err
		}
	}
}

func readRequests(r io.Reader, frames chan<- request) error {
	for {
		var req request
		if err := readFrame(r, &req); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("serve the PKCS#11 module: %w", err)
		}
		frames <- req
	}
}

// work does all that touches the module, on one thread: some modules care.
func work(module string, requests <-chan request, w io.Writer) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, first := loadModule(module)
	if err := writeFrame(w, first); err != nil {
		return err
	}
	for req := range requests {
		if err := writeFrame(w, s.answer(req)); err != nil {
			return err
		}
		clear(req.PIN)
	}
	return nil
}

// server holds what the child knows: the module, and a session per token. One goroutine uses it.
type server struct {
	ctx      *pkcs11.Ctx
	sessions map[uint]pkcs11.SessionHandle
	pins     map[uint]string // only of tokens with a key that asks for its PIN at each signature
}

func loadModule(path string) (*server, answer) {
	if reason := loadError(path); reason != "" {
		return nil, answer{Load: reason}
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, answer{Load: "it is not a PKCS#11 module: no C_GetFunctionList"}
	}
	if err := ctx.Initialize(); err != nil {
		return nil, failure("C_Initialize", err)
	}
	return &server{ctx: ctx, sessions: map[uint]pkcs11.SessionHandle{}, pins: map[uint]string{}}, answer{}
}

// failure turns an error of the bindings into an answer.
func failure(function string, err error) answer {
	var code pkcs11.Error
	if errors.As(err, &code) {
		return answer{Failed: function, Code: uint(code)}
	}
	return answer{BadCall: function + " failed in the bindings"}
}

func (s *server) answer(r request) answer {
	if s == nil {
		return answer{BadCall: "no module is loaded"}
	}
	switch r.Op {
	case opList:
		return s.list()
	case opLogin:
		return s.login(r.Slot, string(r.PIN))
	case opSign:
		return s.sign(r)
	case opLogout:
		return s.logout()
	}
	return answer{BadCall: fmt.Sprintf("unknown request %q", r.Op)}
}

func (s *server) list() answer {
	all, err := s.ctx.GetSlotList(false)
	if err != nil {
		return failure("C_GetSlotList", err)
	}
	present, err := s.ctx.GetSlotList(true)
	if err != nil {
		return failure("C_GetSlotList", err)
	}
	a := answer{Slots: len(all)}
	for _, slot := range present {
		t, refused := s.token(slot)
		if refused != nil {
			a.Unusable = append(a.Unusable, (&Error{Op: refused.Failed, Code: refused.Code}).Error())
			continue
		}
		a.Tokens = append(a.Tokens, *t)
	}
	return a
}

// token reads one token, in a new session.
func (s *server) token(slot uint) (*wireToken, *answer) {
	refuse := func(function string, err error) (*wireToken, *answer) {
		a := failure(function, err)
		return nil, &a
	}
	if old, ok := s.sessions[slot]; ok {
		_ = s.ctx.CloseSession(old) // it may be of a card that is gone
		delete(s.sessions, slot)
		delete(s.pins, slot)
	}
	t := &wireToken{Slot: slot}
	info, err := s.ctx.GetSlotInfo(slot)
	if err != nil {
		return refuse("C_GetSlotInfo", err)
	}
	t.Reader, t.Removable = trim(info.SlotDescription), info.Flags&pkcs11.CKF_REMOVABLE_DEVICE != 0
	if err := s.tokenInfo(t); err != nil {
		return refuse("C_GetTokenInfo", err)
	}
	session, err := s.ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return refuse("C_OpenSession", err)
	}
	s.sessions[slot] = session
	if t.Certificates, err = s.certificates(session); err != nil {
		return refuse("C_FindObjects", err)
	}
	mechanisms, err := s.ctx.GetMechanismList(slot)
	if err != nil {
		return refuse("C_GetMechanismList", err)
	}
	for _, m := range mechanisms {
		t.Mechanisms = append(t.Mechanisms, m.Mechanism)
	}
	return t, nil
}

func (s *server) tokenInfo(t *wireToken) error {
	info, err := s.ctx.GetTokenInfo(t.Slot)
	if err != nil {
		return err
	}
	t.Label, t.Model = trim(info.Label), trim(info.Model)
	t.Manufacturer, t.Serial = trim(info.ManufacturerID), trim(info.SerialNumber)
	t.Flags, t.MinPIN, t.MaxPIN = tokenFlags(info.Flags), info.MinPinLen, info.MaxPinLen
	return nil
}

func (s *server) certificates(session pkcs11.SessionHandle) ([]wireCertificate, error) {
	objects, err := s.find(session,
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_CERTIFICATE),
		pkcs11.NewAttribute(pkcs11.CKA_CERTIFICATE_TYPE, pkcs11.CKC_X_509))
	if err != nil {
		return nil, err
	}
	var certs []wireCertificate
	for _, o := range objects {
		// One that cannot be read must not hide the others.
		value, err := s.attribute(session, o, pkcs11.CKA_VALUE)
		if err != nil {
			continue
		}
		id, _ := s.attribute(session, o, pkcs11.CKA_ID) // without one it has no key, and the parent leaves it out
		label, _ := s.attribute(session, o, pkcs11.CKA_LABEL)
		certs = append(certs, wireCertificate{ID: id, DER: value, Label: trim(string(label))})
	}
	return certs, nil
}

// maxObjects bounds what a token may list.
const maxObjects = 256

func (s *server) find(session pkcs11.SessionHandle, template ...*pkcs11.Attribute) ([]pkcs11.ObjectHandle, error) {
	if err := s.ctx.FindObjectsInit(session, template); err != nil {
		return nil, err
	}
	objects, _, err := s.ctx.FindObjects(session, maxObjects)
	if final := s.ctx.FindObjectsFinal(session); err == nil {
		err = final
	}
	return objects, err
}

func (s *server) attribute(session pkcs11.SessionHandle, o pkcs11.ObjectHandle, kind uint) ([]byte, error) {
	got, err := s.ctx.GetAttributeValue(session, o, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)})
	if err != nil {
		return nil, err
	}
	return got[0].Value, nil
}

// trim removes the padding of PKCS#11's fixed fields: blanks, and the NUL of modules that know no better.
func trim(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return strings.TrimSpace(s)
}
