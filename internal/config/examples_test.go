package config_test

import (
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/client"
	"promess/authgw/internal/config"
)

// The examples in deploy/ are what people start from: they are right, and show every key, in the order of the types.
func TestExampleOfGateway(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "pair", "*.example.fr")
	for from, to := range map[string]string{"pair.pem": "tls/fullchain.pem", "pair.key": "tls/privkey.pem"} {
		write(t, filepath.Join(dir, to), read(t, filepath.Join(dir, from)), 0o600)
	}
	write(t, filepath.Join(dir, "tls/internal-ca.pem"), read(t, filepath.Join(dir, "pair.pem")), 0o644)
	write(t, filepath.Join(dir, "igc-sante/root.pem"), read(t, filepath.Join(dir, "pair.pem")), 0o644)
	write(t, filepath.Join(dir, "crl/fort-personnes.crl"), "a list", 0o644)
	write(t, filepath.Join(dir, "crl/racine-fort.crl"), "a list", 0o644)
	write(t, filepath.Join(dir, "seal.keys"), sealKey(), 0o600)
	write(t, filepath.Join(dir, "psc-secret"), "a secret\n", 0o600)
	writeClient(t, dir, "planning")
	write(t, filepath.Join(dir, "smtp-password"), "a password\n", 0o600)
	write(t, filepath.Join(dir, "mail.svg"), `<svg xmlns="http://www.w3.org/2000/svg"/>`, 0o644)

	text := read(t, "../../deploy/authgw.yaml")
	g, err := config.ParseGateway([]byte(text), filepath.Join(dir, "authgw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if g.Card.AllowTest || g.Card.InsecureSkipRevocation {
		t.Error("the example lowers security; what people copy must not")
	}
	showsEveryKey(t, text, reflect.TypeOf(*g))
}

func TestExampleOfAgent(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "gateway-ca", "ca.example.fr")
	write(t, filepath.Join(dir, "module.so"), "a module", 0o755)
	write(t, filepath.Join(dir, "pinentry"), "a program", 0o755)

	text := read(t, "../../deploy/cardagent.yaml")
	here := strings.NewReplacer( // places of a real system
		"/opt/santesocial/CPS/lib/libcps3_pkcs11_lux.so", "module.so",
		"/usr/bin/pinentry-gtk-2", "pinentry")
	a, err := config.ParseAgent([]byte(here.Replace(text)), filepath.Join(dir, "cardagent.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if a.NoReset {
		t.Error("the example lowers security; what people copy must not")
	}
	showsEveryKey(t, text, reflect.TypeOf(*a))
}

// showsEveryKey compares the keys of an example with the fields of the type, in order.
func showsEveryKey(t *testing.T, text string, of reflect.Type) {
	t.Helper()
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^[ -]*([a-z_]+):`).FindAllStringSubmatch(text, -1) {
		got = append(got, strings.ReplaceAll(m[1], "_", ""))
	}
	if diff := cmp.Diff(fields(of), got); diff != "" {
		t.Errorf("keys of the example (-type +example):\n%s", diff)
	}
}

// fields returns the names of the fields of a type of this package, or of a client, and of those in it, in lower case.
func fields(of reflect.Type) []string {
	for of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	var all []string
	ours := []string{reflect.TypeFor[config.Gateway]().PkgPath(), reflect.TypeFor[client.Settings]().PkgPath()}
	if of.Kind() != reflect.Struct || !slices.Contains(ours, of.PkgPath()) {
		return nil
	}
	for i := range of.NumField() {
		switch f := of.Field(i); {
		case f.Name == "File", f.Name == "JWKS": // where it was read from; what is in jwks_file
		case f.Anonymous:
			all = append(all, fields(f.Type)...)
		default:
			all = append(append(all, strings.ToLower(f.Name)), fields(f.Type)...)
		}
	}
	return all
}
