package vcard_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/vcard"
)

// reader is the reader's end: vpcd's, reduced to what a test says.
type reader struct {
	t    *testing.T
	conn net.Conn
}

// insert puts a card with a P-256 key and the PIN 1234 into a reader.
func insert(t *testing.T) (reader, *vcard.Card, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		OCSPServer: []string{"http://example/" + strings.Repeat("x", 400)}, // so that it does not fit into a short answer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	card, err := vcard.New(vcard.Config{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := card.Insert(ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); card.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return reader{t, conn}, card, key
}

// send sends one message, in hexadecimal; blanks mean nothing.
func (r reader) send(message string) {
	r.t.Helper()
	body, err := hex.DecodeString(strings.ReplaceAll(message, " ", ""))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(body))), body...)); err != nil {
		r.t.Fatal(err)
	}
}

// ask sends one message and returns the answer, in hexadecimal.
func (r reader) ask(message string) string {
	r.t.Helper()
	r.send(message)
	var head [2]byte
	if _, err := io.ReadFull(r.conn, head[:]); err != nil {
		r.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(r.conn, body); err != nil {
		r.t.Fatal(err)
	}
	return hex.EncodeToString(body)
}

// Commands of SP 800-73-4 part 2, section 3, and the answers that it gives them.
const (
	selectPIV = "00A4040009 A00000030800001000 00"
	rightPIN  = "0020008008 31323334FFFFFFFF"
	wrongPIN  = "0020008008 39393939FFFFFFFF"
	triesLeft = "00200080"
	signThis  = "0087119A26 7C2482008120 5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A 00"
)

func TestPINIsCountedAndForgotten(t *testing.T) {
	r, card, _ := insert(t)
	for _, step := range []struct{ what, send, want string }{
		{"another application", "00A4040007 A0000000031010", "6a82"},
		{"a signature without a PIN", signThis, "6982"},
		{"tries left", triesLeft, "63c3"},
		{"a wrong PIN", wrongPIN, "63c2"},
		{"a PIN of another length, which costs no try", "0020008004 31323334", "6a80"},
		{"a wrong PIN once more", wrongPIN, "63c1"},
		{"the right PIN", rightPIN, "9000"},
		{"asked again, the PIN is known", triesLeft, "9000"},
		{"a wrong PIN forgets the right one", wrongPIN, "63c2"},
		{"a signature after that", signThis, "6982"},
		{"the last but one", wrongPIN, "63c1"},
		{"the last", wrongPIN, "6983"},
		{"the right PIN on a locked card", rightPIN, "6983"},
		{"tries left of a locked card", triesLeft, "6983"},
		{"an unknown key reference", "00200081", "6a88"},
		{"an unknown instruction", "00FF0000", "6d00"},
		{"half a command", "0020", "6700"},
	} {
		if got := r.ask(step.send); got != step.want {
			t.Errorf("%s: %s, want %s", step.what, got, step.want)
		}
	}
	if card.TriesLeft() != 0 || card.Verified() || card.Signatures() != 0 {
		t.Errorf("%d tries, verified %v, %d signatures; want a locked card that never signed", card.TriesLeft(), card.Verified(), card.Signatures())
	}
}

func TestResetForgetsThePIN(t *testing.T) {
	r, card, key := insert(t)
	if got := r.ask(selectPIV); !strings.HasSuffix(got, "9000") {
		t.Fatalf("SELECT = %s", got)
	}
	for what, control := range map[string]string{"power off": "00", "power on": "01", "reset": "02"} {
		if got := r.ask(rightPIN); got != "9000" {
			t.Fatalf("VERIFY = %s, want 9000", got)
		}
		signature, err := hex.DecodeString(r.ask(signThis))
		if err != nil {
			t.Fatal(err)
		}
		// 7C len 82 len signature 9000
		if len(signature) < 6 || !ecdsa.VerifyASN1(&key.PublicKey, bytes.Repeat([]byte{0x5A}, 32), signature[4:len(signature)-2]) {
			t.Errorf("the signature %x does not verify", signature)
		}
		r.send(control)
		if got := r.ask(signThis); got != "6982" {
			t.Errorf("a signature after %s = %s, want 6982", what, got)
		}
	}
	if got := r.ask("04"); !strings.HasPrefix(got, "3b95") {
		t.Errorf("ATR = %s", got)
	}
	if card.Signatures() != 3 {
		t.Errorf("%d signatures, want 3", card.Signatures())
	}
}

// A short Le gets the rest with GET RESPONSE; an object in one answer of extended length is the same (ISO 7816-4, section 5.3.4).
func TestLongAnswersComeInPieces(t *testing.T) {
	r, _, _ := insert(t)
	r.ask(selectPIV)
	whole := r.ask("00CB3FFF000005 5C035FC105 0000")
	pieces := r.ask("00CB3FFF05 5C035FC105 00")
	for strings.HasPrefix(pieces[len(pieces)-4:], "61") {
		pieces = pieces[:len(pieces)-4] + r.ask("00C00000"+pieces[len(pieces)-2:])
	}
	if whole != pieces || !strings.HasSuffix(whole, "9000") || len(whole) < 520 {
		t.Errorf("the certificate in one answer and in pieces:\n%s\n%s", whole, pieces)
	}
	if got := r.ask("00CB3FFF05 5C035FC1FF 00"); got != "6a82" {
		t.Errorf("an object that is not there = %s, want 6a82", got)
	}
}
