package password

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// errMalformed says that a text is no hash of a password. It does not repeat it.
var errMalformed = errors.New("not an Argon2id hash in PHC form")

// hashed is a password's hash, as it is kept.
type hashed struct {
	Params
	salt, sum []byte
}

// Lengths in bytes. Those of new hashes are RFC 9106, section 4's.
const (
	newSalt, minSalt, maxSalt = 16, 8, 64
	newSum, minSum, maxSum    = 32, 16, 64
)

// compute computes the hash of a prepared password with h's parameters and salt.
func (h hashed) compute(prepared string, length int) []byte {
	return argon2.IDKey([]byte(prepared), h.salt, h.Time, h.Memory, h.Threads, uint32(length))
}

// String returns the PHC form: $argon2id$v=19$m=19456,t=2,p=1$salt$hash, in base64 without padding.
func (h hashed) String() string {
	var b strings.Builder
	b.WriteString("$argon2id$v=" + strconv.Itoa(argon2.Version))
	b.WriteString("$m=" + strconv.FormatUint(uint64(h.Memory), 10))
	b.WriteString(",t=" + strconv.FormatUint(uint64(h.Time), 10))
	b.WriteString(",p=" + strconv.FormatUint(uint64(h.Threads), 10))
	b.WriteString("$" + base64.RawStdEncoding.EncodeToString(h.salt))
	b.WriteString("$" + base64.RawStdEncoding.EncodeToString(h.sum))
	return b.String()
}

// maxPHC is longer than any text that parse takes.
const maxPHC = 256

// parse reads the PHC form: this version, these parameters in this order, each written in one way, within bounds.
func parse(text string) (hashed, error) {
	parts := strings.Split(text, "$")
	if len(text) > maxPHC || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return hashed{}, errMalformed
	}
	m, rest, ok1 := strings.Cut(parts[3], ",")
	t, p, ok2 := strings.Cut(rest, ",")
	memory, ok3 := number(m, "m=", 32)
	time, ok4 := number(t, "t=", 32)
	threads, ok5 := number(p, "p=", 8)
	h := hashed{Params: Params{Memory: uint32(memory), Time: uint32(time), Threads: uint8(threads)}}
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !h.bearable() {
		return hashed{}, errMalformed
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.sum, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(h.salt) < minSalt || len(h.salt) > maxSalt || len(h.sum) < minSum || len(h.sum) > maxSum || h.String() != text {
		return hashed{}, errMalformed // base64 skips line ends, which no hash has
	}
	return h, nil
}

func number(text, key string, bits int) (uint64, bool) {
	digits, ok := strings.CutPrefix(text, key)
	n, err := strconv.ParseUint(digits, 10, bits)
	return n, ok && err == nil
}
