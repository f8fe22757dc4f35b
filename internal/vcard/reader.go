package vcard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Control messages of vpcd: a body of one byte. The reader expects an answer to the last only.
const (
	controlOff   = 0x00
	controlOn    = 0x01
	controlReset = 0x02
	controlATR   = 0x04
)

// atr is what the card says when it is powered: T=1, 5 historical bytes of no meaning.
var atr = []byte{0x3B, 0x95, 0x80, 0x01, 'v', 'c', 'a', 'r', 'd', checksum(0x95, 0x80, 0x01, 'v', 'c', 'a', 'r', 'd')}

// checksum is TCK: all bytes after the first, with it, XOR to zero (ISO 7816-3, section 8.2.5).
func checksum(b ...byte) (x byte) {
	for _, v := range b {
		x ^= v
	}
	return x
}

// Insert puts the card into the virtual reader that listens on addr. It returns once the reader has the connection; PC/SC sees the card
// a little later.
func (c *Card) Insert(addr string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		return errors.New("vcard: the card is in a reader already")
	}
	conn, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return fmt.Errorf("vcard: insert: %w", err)
	}
	gone := make(chan struct{})
	c.conn, c.gone = conn, gone
	go func() { // ends when either side closes the connection
		defer close(gone)
		c.answerReader(conn)
		c.forget(conn)
		c.reset()
	}()
	return nil
}

// Remove pulls the card out of its reader, also in the middle of a command. It does nothing outside a reader.
func (c *Card) Remove() {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if conn != nil {
		c.forget(conn)
	}
}

// Close removes the card and waits until it is idle. It must not be called from OnAPDU.
func (c *Card) Close() {
	c.Remove()
	c.mu.Lock()
	gone := c.gone
	c.mu.Unlock()
	if gone != nil {
		<-gone
	}
}

func (c *Card) forget(conn net.Conn) {
	conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == conn {
		c.conn = nil
	}
}

// answerReader speaks vpcd's protocol: a length of two bytes, big-endian, and a body, both ways.
func (c *Card) answerReader(conn net.Conn) {
	var head [2]byte
	for {
		quickACK(conn)
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		out, ok := c.message(body)
		if !ok {
			continue
		}
		frame := binary.BigEndian.AppendUint16(nil, uint16(len(out)))
		if _, err := conn.Write(append(frame, out...)); err != nil {
			return
		}
	}
}

// message handles one message of the reader; ok says whether it is answered.
func (c *Card) message(body []byte) (out []byte, ok bool) {
	if len(body) != 1 {
		return c.process(body), true
	}
	switch body[0] {
	case controlATR:
		return atr, true
	case controlOff, controlOn, controlReset:
		c.reset()
	}
	return nil, false
}
