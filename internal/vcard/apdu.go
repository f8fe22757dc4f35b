package vcard

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"math/big"
)

// status is the status word of an answer (ISO 7816-4, section 5.1.3).
type status uint16

const (
	swOK            status = 0x9000
	swMore          status = 0x6100 // and, in the low byte, how much
	swWrongLength   status = 0x6700
	swBlocked       status = 0x6983
	swNotSatisfied  status = 0x6982
	swWrongData     status = 0x6A80
	swNotFound      status = 0x6A82
	swWrongP1P2     status = 0x6A86
	swNoReference   status = 0x6A88
	swNoInstruction status = 0x6D00
)

func swTries(n int) status { return 0x63C0 | status(n) }

// Key references (SP 800-73-4 part 1, table 4b) and algorithms (SP 800-78-4, table 6-2).
const (
	pinReference      = 0x80
	keyAuthentication = 0x9A
	keySignature      = 0x9C
	algorithmRSA2048  = 0x07
	algorithmP256     = 0x11
)

// aidPIV is the application identifier of PIV, with its version.
const aidPIV = "\xA0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00"

// maxChain bounds the data of chained commands.
const maxChain = 4096

// command is one command APDU (ISO 7816-4, section 5.1), short or extended.
type command struct {
	cla, ins, p1, p2 byte
	data             []byte
	le               int // what fits in the answer
}

// parseCommand reads a command APDU.
func parseCommand(b []byte) (command, bool) {
	if len(b) < 4 {
		return command{}, false
	}
	c := command{cla: b[0], ins: b[1], p1: b[2], p2: b[3], le: 256}
	b = b[4:]
	extended := len(b) >= 3 && b[0] == 0
	switch {
	case len(b) == 0:
		return c, true
	case len(b) == 1: // no data
		c.le = shortLe(b[0])
		return c, true
	case extended && len(b) == 3: // no data, extended Le
		c.le = 65536
		return c, true
	case extended:
		n := int(binary.BigEndian.Uint16(b[1:]))
		b = b[3:]
		if len(b) != n && len(b) != n+2 {
			return command{}, false
		}
		c.data, c.le = b[:n], 65536
	default:
		n := int(b[0])
		b = b[1:]
		if len(b) != n && len(b) != n+1 {
			return command{}, false
		}
		c.data = b[:n]
		if len(b) > n {
			c.le = shortLe(b[n])
		}
	}
	return c, true
}

// shortLe decodes an Le of one byte, where 0 means 256.
func shortLe(b byte) int {
	if b == 0 {
		return 256
	}
	return int(b)
}

// process answers one command APDU.
func (c *Card) process(apdu []byte) []byte {
	cmd, ok := parseCommand(apdu)
	if !ok {
		return answer(nil, swWrongLength)
	}
	if cmd.ins == InsGetResponse {
		return c.more(cmd.le)
	}
	data, sw, complete := c.chained(cmd)
	if !complete {
		return answer(nil, sw)
	}
	cmd.data = data
	if c.config.OnAPDU != nil {
		c.config.OnAPDU(cmd.ins)
	}
	out, sw := c.execute(cmd)
	if sw != swOK {
		return answer(nil, sw)
	}
	c.mu.Lock()
	c.rest = out
	c.mu.Unlock()
	return c.more(cmd.le)
}

// chained collects the data of a chain of commands: bit 5 of CLA says that more follows (ISO 7816-4, section 5.1.1.1).
func (c *Card) chained(cmd command) (data []byte, sw status, complete bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.chain = append(c.chain, cmd.data...)
	if len(c.chain) > maxChain {
		c.chain = nil
		return nil, swWrongLength, false
	}
	if cmd.cla&0x10 != 0 {
		return nil, swOK, false
	}
	data, c.chain = c.chain, nil
	return data, swOK, true
}

// more answers with what is left of the last answer, and says how much follows (61xx).
func (c *Card) more(le int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.rest), le)
	out := c.rest[:n]
	c.rest = c.rest[n:]
	if len(c.rest) == 0 {
		return answer(out, swOK)
	}
	if len(c.rest) > 0xFF {
		return answer(out, swMore) // 256 or more
	}
	return answer(out, swMore|status(len(c.rest)))
}

func answer(data []byte, sw status) []byte {
	return binary.BigEndian.AppendUint16(bytes.Clone(data), uint16(sw))
}

func (c *Card) execute(cmd command) ([]byte, status) {
	switch cmd.ins {
	case InsSelect:
		return c.selectApplication(cmd)
	case InsGetData:
		return c.getData(cmd)
	case InsVerify:
		return nil, c.verify(cmd.p1, cmd.p2, cmd.data)
	case InsGeneralAuthenticate:
		return c.authenticate(cmd)
	}
	return nil, swNoInstruction
}

// selectApplication knows PIV only. Middleware tries the applications of other cards first.
func (c *Card) selectApplication(cmd command) ([]byte, status) {
	const shortest = 5 // the registered part: NIST
	if cmd.p1 != 0x04 || len(cmd.data) < shortest || !bytes.HasPrefix([]byte(aidPIV), cmd.data) {
		return nil, swNotFound
	}
	// The application property template, SP 800-73-4 part 2, table 3.
	return tlv("\x61", tlv("\x4F", []byte(aidPIV[5:])), tlv("\x79", tlv("\x4F", []byte(aidPIV[:5])))), swOK
}

func (c *Card) getData(cmd command) ([]byte, status) {
	if cmd.p1 != 0x3F || cmd.p2 != 0xFF {
		return nil, swWrongP1P2
	}
	tag, name, _, ok := readTLV(cmd.data)
	if !ok || tag != 0x5C {
		return nil, swWrongData
	}
	object, ok := c.data[string(name)]
	if !ok {
		return nil, swNotFound
	}
	return object, swOK
}

// authenticate handles GENERAL AUTHENTICATE with a challenge for the key to sign (SP 800-73-4 part 2, section 3.2.4).
func (c *Card) authenticate(cmd command) ([]byte, status) {
	key, ok := c.keys[cmd.p2]
	if !ok {
		return nil, swNoReference
	}
	if !c.Verified() {
		return nil, swNotSatisfied
	}
	challenge := findChallenge(cmd.data)
	var signature []byte
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if cmd.p1 != algorithmRSA2048 {
			return nil, swWrongP1P2
		}
		signature = rawRSA(k, challenge)
	case *ecdsa.PrivateKey:
		if cmd.p1 != algorithmP256 {
			return nil, swWrongP1P2
		}
		signature = rawECDSA(k, challenge)
	}
	if signature == nil {
		return nil, swWrongData
	}
	c.mu.Lock()
	c.signatures++
	c.mu.Unlock()
	return tlv("\x7C", tlv("\x82", signature)), swOK
}

// findChallenge returns the challenge, tag 81, of a dynamic authentication template.
func findChallenge(template []byte) []byte {
	tag, inner, _, ok := readTLV(template)
	if !ok || tag != 0x7C {
		return nil
	}
	for len(inner) > 0 {
		tag, value, rest, ok := readTLV(inner)
		if !ok {
			return nil
		}
		if tag == 0x81 {
			return value
		}
		inner = rest
	}
	return nil
}

// rawRSA is the bare operation: the middleware pads. It takes no care of timing; the keys are made for a test.
func rawRSA(k *rsa.PrivateKey, block []byte) []byte {
	m := new(big.Int).SetBytes(block)
	if len(block) != k.Size() || m.Cmp(k.N) >= 0 {
		return nil
	}
	// Two half-size exponentiations, as the Chinese remainder theorem allows (RFC 8017, section 5.1.2, step 2b).
	p, q := k.Primes[0], k.Primes[1]
	m1, m2 := new(big.Int).Exp(m, k.Precomputed.Dp, p), new(big.Int).Exp(m, k.Precomputed.Dq, q)
	h := new(big.Int).Sub(m1, m2)
	h.Mul(h, k.Precomputed.Qinv).Mod(h, p)
	return h.Mul(h, q).Add(h, m2).FillBytes(make([]byte, k.Size()))
}

// rawECDSA signs a digest; the answer is the SEQUENCE of r and s.
func rawECDSA(k *ecdsa.PrivateKey, digest []byte) []byte {
	if len(digest) == 0 || len(digest) > 32 {
		return nil
	}
	signature, err := k.Sign(rand.Reader, digest, crypto.Hash(0))
	if err != nil {
		return nil
	}
	return signature
}
