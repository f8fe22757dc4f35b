package pkcs11

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzReadFrame: whatever a child writes, reading it ends with an answer or an error; an answer that was read can be written, and is
// then read as the same.
func FuzzReadFrame(f *testing.F) {
	for _, a := range []answer{
		{}, {Failed: "C_Login", Code: 0xA0, Token: &wireToken{Flags: 1 << 16}}, {Signature: []byte{1, 2}},
		{Slots: 2, Tokens: []wireToken{{Slot: 7, Reader: "r", Mechanisms: []uint{1}, Certificates: []wireCertificate{{ID: []byte{1}, DER: []byte{0x30, 0}}}}}},
	} {
		var b bytes.Buffer
		if err := writeFrame(&b, a); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte("\xff\xff\xff\xff{}"))
	f.Add([]byte("\x00\x00\x00\x02{"))
	f.Add([]byte("\x00\x00\x00\x04null"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var first, second answer
		if readFrame(bytes.NewReader(frame), &first) != nil {
			return
		}
		var b bytes.Buffer
		if err := writeFrame(&b, first); err != nil {
			t.Fatal(err)
		}
		if err := readFrame(&b, &second); err != nil {
			t.Fatal(err)
		}
		if !cmp.Equal(normal(t, first), normal(t, second)) {
			t.Errorf("read %+v, then %+v", first, second)
		}
	})
}

// normal writes an answer: empty and absent are one.
func normal(t *testing.T, a answer) string {
	t.Helper()
	var b bytes.Buffer
	if err := writeFrame(&b, a); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFramesHaveABound(t *testing.T) {
	if err := writeFrame(io.Discard, answer{Load: strings.Repeat("x", maxFrame)}); err == nil {
		t.Error("a frame of more than the bound was written")
	}
	var a answer
	if err := readFrame(strings.NewReader("\x00\x40\x00\x01"), &a); err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("readFrame of one byte more than the bound = %v, want a refusal before it is read", err)
	}
	if err := readFrame(strings.NewReader("\x00\x40\x00\x00{"), &a); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("readFrame of a frame cut short = %v, want io.ErrUnexpectedEOF", err)
	}
}

func TestErrorOfAFrameDoesNotQuoteIt(t *testing.T) {
	var r request
	text := `{"PIN": 1234567}`
	err := readFrame(strings.NewReader("\x00\x00\x00"+string(rune(len(text)))+text), &r)
	if err == nil || strings.Contains(err.Error(), "1234567") {
		t.Errorf("readFrame = %v, want an error without the PIN", err)
	}
}
