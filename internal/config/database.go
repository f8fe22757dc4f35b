package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// maxPassword bounds the file of a password, in bytes.
const maxPassword = 1 << 10

func readDatabase(top *section) (name, passwordFile string) {
	name = required(top, "database", "the path of the SQLite file, or the URL of a PostgreSQL database", database)
	passwordFile = optional(top, "database_password_file", "", databasePasswordFile)
	if passwordFile != "" && name != "" && !isDatabaseURL(name) {
		top.at("database_password_file").reportf("the URL of a PostgreSQL database expected beside it, the path of a SQLite file given")
	}
	return name, passwordFile
}

// database reads the path of a SQLite file or the URL of a PostgreSQL database. No message shows a URL: it may carry a password.
func database(v value) (string, error) {
	text, err := v.text()
	if err != nil || !strings.Contains(text, "://") {
		return newFile(v)
	}
	if !isDatabaseURL(text) {
		return "", errors.New("a path, or a URL that begins with postgres://, expected, another URL given")
	}
	if err := checkDatabaseURL(text); err != nil {
		return "", err
	}
	return text, nil
}

func isDatabaseURL(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

var (
	errDatabaseURL = errors.New("a URL such as postgres://authgw@db.example.fr/authgw?sslmode=verify-full " +
		"(or postgres://authgw@/authgw?host=/run/postgresql) expected, something else given")
	rolePattern         = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,63}$`)
	databasePathPattern = regexp.MustCompile(`^/[A-Za-z0-9_-]{1,63}$`)
)

// databaseOptions are what a URL may say after the question mark. PostgreSQL knows many more: those that would change what the gateway
// relies on are not among them.
var databaseOptions = []string{"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs"}

func checkDatabaseURL(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errDatabaseURL
	}
	u, err := url.Parse(text)
	if err != nil {
		return errDatabaseURL // not err: it repeats the text
	}
	options, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errDatabaseURL
	}
	_, password := u.User.Password()
	if password || options.Has("password") || options.Has("sslpassword") {
		return errors.New("a URL without a password expected, one with a password given: " +
			"put the password alone into a file (chmod 600), and name the file in database_password_file")
	}
	if !rolePattern.MatchString(u.User.Username()) || !databasePathPattern.MatchString(u.Path) || u.Fragment != "" || u.Opaque != "" {
		return errDatabaseURL
	}
	for key, values := range options {
		if !slices.Contains(databaseOptions, key) || len(values) != 1 || values[0] == "" {
			return fmt.Errorf("after the question mark, only %s expected, each once and with a value; something else given", strings.Join(databaseOptions, ", "))
		}
	}
	far, err := checkDatabaseHosts(u.Host, options)
	if err != nil {
		return err
	}
	// Everything else than verify-full talks to whoever answers: libpq, section "SSL Support", table "SSL Mode Descriptions".
	if far != "" && options.Get("sslmode") != "verify-full" {
		return fmt.Errorf("sslmode=verify-full expected for a server that is not on this machine (%s): without it, whoever answers in its place "+
			"gets the password and every session", far)
	}
	return checkDatabaseFiles(options)
}

// checkDatabaseHosts returns the first host that is reached over a network, if any. Several stand for a server and those that take its
// place.
func checkDatabaseHosts(hosts string, options url.Values) (far string, err error) {
	if socket := options.Get("host"); socket != "" {
		if hosts != "" || !filepath.IsAbs(socket) {
			return "", errors.New("after host=, the absolute path of the directory of a socket expected, and then no host before it; something else given")
		}
		return "", nil
	}
	if hosts == "" || options.Has("port") {
		return "", errDatabaseURL
	}
	for one := range strings.SplitSeq(hosts, ",") {
		u, err := bareURL("postgres://" + one)
		if err != nil {
			return "", errDatabaseURL
		}
		name := u.Hostname()
		address, err := netip.ParseAddr(name)
		here := name == "localhost" || err == nil && address.IsLoopback()
		if !here && far == "" {
			far = name
		}
	}
	return far, nil
}

// checkDatabaseFiles looks at the files that a URL names. A relative path would start where the program was started.
func checkDatabaseFiles(options url.Values) error {
	for _, key := range []string{"sslrootcert", "sslcert", "sslkey"} {
		name := options.Get(key)
		if name == "" {
			continue
		}
		if !filepath.IsAbs(name) {
			return fmt.Errorf("an absolute path expected after %s=, another one given", key)
		}
		if key == "sslkey" {
			if err := ownersOnly(name, "a private key (PEM)"); err != nil {
				return err
			}
		} else if _, err := certificates(name); err != nil {
			return fmt.Errorf("a PEM file of certificates expected at %s: %w", quote(name), err)
		}
	}
	if options.Has("sslcert") != options.Has("sslkey") {
		return errors.New("both sslcert and sslkey expected, or neither; one given")
	}
	return nil
}

// databasePasswordFile reads the path of a file that only its owner may read. "off" is none.
func databasePasswordFile(v value) (string, error) {
	if text, err := v.text(); err == nil && text == "off" {
		return "", nil
	}
	name, err := regular("a file with a password", maxPassword)(v)
	if err != nil {
		return "", err
	}
	return name, ownersOnly(name, "a file with a password")
}

// DatabasePassword reads the password of the database: the one line of its file. It is empty without a file.
func (g *Gateway) DatabasePassword() (string, error) {
	if g.DatabasePasswordFile == "" {
		return "", nil
	}
	data, err := os.ReadFile(g.DatabasePasswordFile)
	if err != nil {
		return "", fmt.Errorf("read the password of the database: %w", err)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if line == "" || len(line) > maxPassword || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' }) {
		return "", fmt.Errorf("read the password of the database: %s holds something else than one line", g.DatabasePasswordFile)
	}
	return line, nil
}
