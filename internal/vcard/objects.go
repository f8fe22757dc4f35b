package vcard

import "bytes"

// Tags of data objects (SP 800-73-4 part 1, table 3), as they stand in the command.
const (
	tagDiscovery      = "\x7E"
	tagCCC            = "\x5F\xC1\x07"
	tagCHUID          = "\x5F\xC1\x02"
	tagAuthentication = "\x5F\xC1\x05"
	tagPrinted        = "\x5F\xC1\x09"
	tagSignature      = "\x5F\xC1\x0A"
)

// tlv encodes one BER-TLV with a tag of any length.
func tlv(tag string, value ...[]byte) []byte {
	body := bytes.Join(value, nil)
	out := []byte(tag)
	switch n := len(body); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default:
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, body...)
}

// addObjects fills in what every PIV card has.
func (c *Card) addObjects() {
	// The card holder's unique identifier, SP 800-73-4 part 1, section 3.1.2: a FASC-N, the GUID, an end of validity, an empty
	// signature. The FASC-N begins with the agency code 9999 (not a federal agency), by which middleware knows that the GUID
	// and not the FASC-N is the card's serial number.
	fascn := []byte("\xD4\xE7\x39\xDA\x73\x9C\xED\x39\xCE\x73\x9D\x83\x68\x58\x21\x08\x42\x10\x84\x21\xC8\x42\x10\xC3\xEB")
	c.data[tagCHUID] = tlv("\x53", tlv("\x30", fascn), tlv("\x34", c.guid[:]), tlv("\x35", []byte("20991231")), tlv("\x3E"), tlv("\xFE"))
	// The card capability container, section 3.1.1, with an identifier and otherwise empty.
	c.data[tagCCC] = tlv("\x53",
		tlv("\xF0", append([]byte{0xA0, 0x00, 0x00, 0x01, 0x16, 0x01, 0x02}, c.guid[:14]...)),
		tlv("\xF1", []byte{0x21}), tlv("\xF2", []byte{0x21}), tlv("\xF3"), tlv("\xF4", []byte{0x00}), tlv("\xF5", []byte{0x10}),
		tlv("\xF6"), tlv("\xF7"), tlv("\xFA"), tlv("\xFB"), tlv("\xFC"), tlv("\xFD"), tlv("\xFE"))
	// The discovery object, section 3.3.2: the PIV PIN, and no other, opens the keys.
	c.data[tagDiscovery] = tlv("\x7E", tlv("\x4F", []byte(aidPIV)), tlv("\x5F\x2F", []byte{0x40, 0x00}))
	c.data[tagPrinted] = tlv("\x53", tlv("\x01", []byte("TEST CARD")), tlv("\x02"), tlv("\x04", []byte("2099DEC31")),
		tlv("\x05"), tlv("\x06"), tlv("\xFE"))
}

// certificateObject wraps a certificate, uncompressed (section 3.1.3).
func certificateObject(der []byte) []byte {
	return tlv("\x53", tlv("\x70", der), tlv("\x71", []byte{0x00}), tlv("\xFE"))
}

// readTLV reads one BER-TLV with a tag of one byte.
func readTLV(b []byte) (tag byte, value, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	tag, n, b := b[0], int(b[1]), b[2:]
	switch {
	case n == 0x81 && len(b) >= 1:
		n, b = int(b[0]), b[1:]
	case n == 0x82 && len(b) >= 2:
		n, b = int(b[0])<<8|int(b[1]), b[2:]
	case n >= 0x80:
		return 0, nil, nil, false
	}
	if n > len(b) {
		return 0, nil, nil, false
	}
	return tag, b[:n], b[n:], true
}
