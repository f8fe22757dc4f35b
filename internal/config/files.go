package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Bounds of the files that a configuration names, in bytes. The revocation lists of IGC-Santé are some tens of MB.
const (
	maxPEM = 1 << 20
	maxCRL = 256 << 20
)

// path reads a path and makes it absolute: a relative one starts where the configuration file is.
func path(v value) (string, error) {
	text, err := v.text()
	if err != nil || strings.ContainsRune(text, 0) {
		return "", v.want("a path")
	}
	if !filepath.IsAbs(text) {
		text = filepath.Join(v.src.base, text)
	}
	return filepath.Clean(text), nil
}

// regular reads the path of a file that is there, is not empty, and has at most limit bytes.
func regular(what string, limit int64) func(value) (string, error) {
	return func(v value) (string, error) {
		name, err := path(v)
		if err != nil {
			return "", err
		}
		info, err := os.Stat(name)
		if err != nil {
			return "", fmt.Errorf("%s expected at %s: %s", what, quote(name), reason(err))
		}
		switch {
		case !info.Mode().IsRegular():
			return "", fmt.Errorf("%s expected at %s: it is not a file", what, quote(name))
		case info.Size() == 0:
			return "", fmt.Errorf("%s expected at %s: the file is empty", what, quote(name))
		case info.Size() > limit:
			return "", fmt.Errorf("%s expected at %s: the file has more than %d bytes", what, quote(name), limit)
		}
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("%s expected at %s: %s", what, quote(name), reason(err))
		}
		f.Close()
		return name, nil
	}
}

// program reads the path of a program that may be run.
func program(v value) (string, error) {
	name, err := regular("a program", 1<<30)(v)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(name); err != nil || runtime.GOOS != "windows" && info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("a program expected at %s: it may not be executed", quote(name))
	}
	return name, nil
}

// directory reads the path of a directory with at least one file in it.
func directory(v value) (string, error) {
	name, err := path(v)
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return "", fmt.Errorf("a directory of certificates expected at %s: %s", quote(name), reason(err))
	}
	for _, e := range entries {
		if !e.IsDir() {
			return name, nil
		}
	}
	return "", fmt.Errorf("a directory of certificates expected at %s: it is empty", quote(name))
}

// newFile reads the path of a file that may be created later: its directory is there.
func newFile(v value) (string, error) {
	name, err := path(v)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return "", fmt.Errorf("a file expected at %s: it is not a file", quote(name))
	}
	info, err := os.Stat(filepath.Dir(name))
	switch {
	case err != nil:
		return "", fmt.Errorf("a directory expected at %s: %s", quote(filepath.Dir(name)), reason(err))
	case !info.IsDir():
		return "", fmt.Errorf("a directory expected at %s: it is a file", quote(filepath.Dir(name)))
	}
	return name, nil
}

// authorities reads the path of a PEM file with at least one certificate and nothing that is none. There is no falling back to
// the system's authorities when a file was named and is wrong (security lesson A1).
func authorities(v value) (string, error) {
	name, err := regular("a PEM file of certificates", maxPEM)(v)
	if err != nil {
		return "", err
	}
	if _, err := certificates(name); err != nil {
		return "", fmt.Errorf("a PEM file of certificates expected at %s: %w", quote(name), err)
	}
	return name, nil
}

func certificates(name string) ([]*x509.Certificate, error) {
	data, err := readPEM(name)
	if err != nil {
		return nil, errors.New(reason(err))
	}
	begun := bytes.Count(data, []byte("-----BEGIN"))
	var all []*x509.Certificate
	for {
		block, rest := pem.Decode(data) // passes over a block that is damaged
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("it holds something else than certificates")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of it cannot be read", len(all)+1)
		}
		all, data = append(all, c), rest
	}
	switch {
	case len(all) == 0:
		return nil, errors.New("it holds no certificate")
	case len(all) < begun:
		return nil, fmt.Errorf("of the %d certificates that begin in it, %d can be read", begun, len(all))
	}
	return all, nil
}

func readPEM(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxPEM))
}

// privateKey reads the path of a key file that only its owner may read.
func privateKey(v value) (string, error) {
	name, err := regular("a private key (PEM)", maxPEM)(v)
	if err != nil {
		return "", err
	}
	return name, ownersOnly(name, "a private key (PEM)")
}

// ownersOnly refuses a file with a secret that others than its owner may read.
func ownersOnly(name, what string) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("%s expected at %s: %s", what, quote(name), reason(err))
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return fmt.Errorf("a file that only its owner may read expected at %s, mode %04o given: chmod 600", quote(name), mode)
	}
	return nil
}

// fit returns the leaf of a certificate file, once the key is known to be its key.
func fit(pair KeyPair) (*x509.Certificate, error) {
	chain, err := readPEM(pair.Cert)
	if err != nil {
		return nil, errors.New(reason(err))
	}
	key, err := readPEM(pair.Key)
	if err != nil {
		return nil, errors.New(reason(err))
	}
	// The error of tls is not shown: it is not known never to quote the key.
	both, err := tls.X509KeyPair(chain, key)
	if err != nil || both.Leaf == nil {
		return nil, fmt.Errorf("the private key of the first certificate of %s expected, something else given", quote(pair.Cert))
	}
	return both.Leaf, nil
}
