package password

import (
	"bufio"
	"bytes"
	"crypto/sha1" // of the list, which others made; it protects nothing here
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"strings"
)

// Breached is a list of passwords that are known to attackers.
type Breached struct {
	file  *os.File // of sorted hashes; nil for a list of passwords
	size  int64
	seed  maphash.Seed
	known []uint64 // hashes of the passwords, sorted
}

// Bounds of lists.
const (
	maxPlain = 256 << 20 // bytes of a list of passwords, which is held in memory, eight bytes for each
	maxLine  = 1 << 10
	maxHash  = 96 // bytes of a line of hashes: 40 digits, a colon and a number
	probes   = 64 // lines that are looked at when a list of hashes is opened
)

// OpenBreached opens a list, and recognises its form by its first line. Either each line is a password, and the list is held in memory; or
// each is the SHA-1 of one in hexadecimal, with ":" and a number behind it or not, all in order, as haveibeenpwned.com gives them: these
// are looked up in the file, whatever its size. Such a file must not be changed while it is open; another may take its place.
func OpenBreached(name string) (*Breached, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open list of breached passwords: %w", err)
	}
	b, err := readBreached(f)
	if err != nil || b.file == nil {
		f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("open list of breached passwords %s: %w", name, err)
	}
	return b, nil
}

// Close closes the list.
func (b *Breached) Close() error {
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}

func readBreached(f *os.File) (*Breached, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("a file expected")
	case info.Size() == 0:
		return nil, errors.New("it is empty")
	}
	b := &Breached{file: f, size: info.Size(), seed: maphash.MakeSeed()}
	_, first, err := b.line(0, b.size)
	if err == nil {
		if _, ok := sum(first); ok {
			return b, b.checkOrder()
		}
	}
	b.file = nil
	return b, b.read(f)
}

// sum reads a line of hashes.
func sum(line []byte) (s [sha1.Size]byte, ok bool) {
	digits, count, counted := bytes.Cut(line, []byte{':'})
	if len(digits) != hex.EncodedLen(sha1.Size) || counted && (len(count) == 0 || len(count) > 20 || len(bytes.Trim(count, "0123456789")) > 0) {
		return s, false
	}
	_, err := hex.Decode(s[:], digits)
	return s, err == nil
}

var errHashes = errors.New("its first line is a SHA-1, and others are not, or are not in order: sorted lines of HASH:COUNT expected")

// line returns the first line that begins at from or after it, and where it begins. When none does before end, it returns end.
func (b *Breached) line(from, end int64) (int64, []byte, error) {
	at := max(from-1, 0) // a line end there begins a line at from
	buf := make([]byte, 2*maxHash)
	n, err := b.file.ReadAt(buf[:min(int64(len(buf)), b.size-at)], at)
	if err != nil {
		return 0, nil, err // the file has become shorter
	}
	buf = buf[:n]
	if from > 0 {
		_, rest, begins := bytes.Cut(buf, []byte{'\n'})
		if !begins && at+int64(n) < b.size {
			return 0, nil, errHashes
		}
		at, buf = at+int64(n-len(rest)), rest
		if !begins || at >= end {
			return end, nil, nil
		}
	}
	text, _, ends := bytes.Cut(buf, []byte{'\n'})
	if !ends && at+int64(len(buf)) < b.size {
		return 0, nil, errHashes
	}
	return at, bytes.TrimSuffix(text, []byte{'\r'}), nil
}

// checkOrder looks at lines all over the file.
func (b *Breached) checkOrder() error {
	var before [sha1.Size]byte
	last := int64(-1)
	for i := range int64(probes) {
		at, text, err := b.line(b.size*i/probes, b.size)
		if err != nil {
			return err
		}
		if at == b.size || at == last {
			continue
		}
		s, ok := sum(text)
		if !ok || bytes.Compare(s[:], before[:]) < 0 {
			return errHashes
		}
		before, last = s, at
	}
	return nil
}

// read reads a list of passwords.
func (b *Breached) read(f *os.File) error {
	if b.size > maxPlain {
		return fmt.Errorf("a list of passwords of at most %d MiB expected, as it is held in memory; give a larger one as sorted lines of SHA-1:COUNT", maxPlain>>20)
	}
	lines := bufio.NewScanner(io.NewSectionReader(f, 0, b.size))
	lines.Buffer(make([]byte, 0, maxLine), maxLine)
	for lines.Scan() {
		text := strings.TrimSuffix(lines.Text(), "\r")
		if text == "" {
			continue
		}
		if prepared, ok := prepare(text); ok {
			text = prepared
		}
		b.known = append(b.known, maphash.String(b.seed, text))
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("one password a line expected, of at most %d bytes: %w", maxLine, err)
	}
	if len(b.known) == 0 {
		return errors.New("there is no password in it")
	}
	slices.Sort(b.known)
	b.known = slices.Clip(slices.Compact(b.known))
	return nil
}

// Contains says whether a password is on the list, as it is or in lower case.
func (b *Breached) Contains(password string) (bool, error) {
	for _, text := range []string{password, strings.ToLower(password)} {
		found, err := b.contains(text)
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func (b *Breached) contains(text string) (bool, error) {
	if b.file == nil {
		_, found := slices.BinarySearch(b.known, maphash.String(b.seed, text))
		return found, nil
	}
	found, err := b.search(sha1.Sum([]byte(text)))
	if err != nil {
		return false, fmt.Errorf("look into the list of breached passwords: %w", err)
	}
	return found, nil
}

// search looks for a hash: lines that begin before low are smaller, those that begin at high or after it are larger.
func (b *Breached) search(want [sha1.Size]byte) (bool, error) {
	low, high := int64(0), b.size
	for low < high {
		middle := low + (high-low)/2
		if high-low <= maxHash {
			middle = low // the lines that are left, one after the other
		}
		at, text, err := b.line(middle, high)
		if err != nil {
			return false, err
		}
		if at == high {
			if middle == low {
				return false, nil
			}
			high = middle
			continue
		}
		got, ok := sum(text)
		if !ok {
			return false, errHashes
		}
		switch bytes.Compare(got[:], want[:]) {
		case 0:
			return true, nil
		case -1:
			low = at + 1
		default:
			high = middle
		}
	}
	return false, nil
}
