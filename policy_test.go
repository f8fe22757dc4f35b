// Package authgw holds the rules of this repository, as tests. A rule that only a document states is broken within a year.
package authgw

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "promess/authgw"

// pkg is a package, as 'go list -json' describes it.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
	Deps       []string
}

// list returns packages of the module.
func list(t *testing.T, patterns ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,GoFiles,CgoFiles,Imports,Deps"}, patterns...)...)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errOut.String())
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// own keeps the packages of this module, named from its root: "idp/card".
func own(imports []string) []string {
	var names []string
	for _, path := range imports {
		if name, ok := strings.CutPrefix(path, module+"/"); ok {
			names = append(names, name)
		}
	}
	return names
}

// TestImports keeps the arrows of the design pointing one way.
func TestImports(t *testing.T) {
	deps := map[string][]string{}
	for _, p := range list(t, "./...") {
		deps[strings.TrimPrefix(p.ImportPath, module+"/")] = own(p.Deps)
	}
	for _, rule := range []struct {
		from, to string // prefixes; to "" is anything of the project
		why      string
	}{
		{"certs", "", "certs decides what a certificate is worth for whoever asks; with an import of the project it would know of sessions or HTTP sooner or later"},
		{"pkcs11", "", "pkcs11 speaks to cards for whoever asks; with an import of the project it could not be read, tested or reused alone"},
		{"cmd/authgw", "pkcs11", "authgw is built without C and runs on a server without readers: a card belongs to cardagent"},
		{"internal/agent", "pkcs11", "the agent knows cards by an interface, so that the demonstration needs no C compiler; cmd/cardagent wires the two"},
		{"proxy", "idp", "proxy knows a session through an interface of its own, so that it can be read without logins"},
		{"proxy", "internal/store", "proxy knows a session through an interface of its own, so that it can be read without a database"},
		{"idp", "cmd", "commands are thin: what is worth importing does not live there"},
		{"internal/agent", "idp", "the workstation shares with the gateway what they say to each other (internal/cardwire), and nothing else"},
		{"idp", "internal/agent", "the gateway shares with the workstation what they say to each other (internal/cardwire), and nothing else"},
		{"internal/store", "idp", "the store keeps what it is given; who may sign in is decided above it"},
		{"idp", "internal/pscstub", "the stand-in for Pro Santé Connect lets anybody be anybody: only the demonstration and tests have one"},
		{"internal/gateway", "internal/pscstub", "the stand-in for Pro Santé Connect lets anybody be anybody: only the demonstration and tests have one"},
		{"proxy", "internal/pscstub", "the stand-in for Pro Santé Connect lets anybody be anybody: only the demonstration and tests have one"},
		{"cmd", "internal/psctest", "it plays what goes wrong at Pro Santé Connect, for tests; the demonstration has internal/pscstub"},
	} {
		found := false
		for name, imports := range deps {
			if name != rule.from && !strings.HasPrefix(name, rule.from+"/") {
				continue
			}
			found = true
			for _, to := range imports {
				within := to == rule.from || strings.HasPrefix(to, rule.from+"/")
				if (rule.to == "" && !within) || (rule.to != "" && (to == rule.to || strings.HasPrefix(to, rule.to+"/"))) {
					t.Errorf("%s reaches %s: %s", name, to, rule.why)
				}
			}
		}
		if !found {
			t.Errorf("no package %s: the rule about it guards nothing", rule.from)
		}
	}
}

// TestGatewayBuildsWithoutC compiles what is shipped for servers as it is shipped.
func TestGatewayBuildsWithoutC(t *testing.T) {
	cmd := exec.Command("go", "build", "-o", filepath.Join(t.TempDir(), "authgw"), "./cmd/authgw")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("authgw does not build with CGO_ENABLED=0, so not on a machine without a C compiler: %v\n%s", err, out)
	}
}

// TestPackageComments asks each package for exactly one comment, and a command for what it does.
func TestPackageComments(t *testing.T) {
	for _, p := range list(t, "./...") {
		var files []string
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc == nil {
				continue
			}
			files = append(files, name)
			want := "Package " + file.Name.Name + " "
			if file.Name.Name == "main" {
				want = "Command " + filepath.Base(p.Dir) + " "
			}
			if text := file.Doc.Text(); !strings.HasPrefix(text, want) {
				t.Errorf("%s: the package comment of %s does not begin with %q: 'go doc' and readers look for that", p.ImportPath, name, want)
			}
		}
		if len(p.GoFiles)+len(p.CgoFiles) > 0 && len(files) != 1 {
			t.Errorf("%s: package comments in %q, want exactly one: it says what the package owns, what it never does, and its rule of concurrency", p.ImportPath, files)
		}
	}
}

// TestNoExit finds what ends the process, or runs before it begins, outside of the functions main.
func TestNoExit(t *testing.T) {
	exits := map[string]bool{"os.Exit": true, "log.Fatal": true, "log.Fatalf": true, "log.Fatalln": true, "syscall.Exit": true, "runtime.Goexit": true}
	for _, p := range list(t, "./...") {
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range file.Decls {
				fn, _ := decl.(*ast.FuncDecl)
				if fn != nil && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: func init runs in every program that imports the package, before anybody can say no", set.Position(fn.Pos()))
				}
				if fn != nil && fn.Recv == nil && fn.Name.Name == "main" && file.Name.Name == "main" {
					continue
				}
				ast.Inspect(decl, func(n ast.Node) bool {
					sel, ok := n.(*ast.SelectorExpr)
					if !ok {
						return true
					}
					if x, ok := sel.X.(*ast.Ident); ok && exits[x.Name+"."+sel.Sel.Name] {
						t.Errorf("%s: %s.%s outside main: deferred functions would not run, and a card would stay open", set.Position(sel.Pos()), x.Name, sel.Sel.Name)
					}
					return true
				})
			}
		}
	}
}

// keyMaterial is what a private key looks like in a file: a PEM block with a body, not the words in a program.
var keyMaterial = regexp.MustCompile(`-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{60,}`)

// TestNoKeyMaterial looks at every file that git has.
func TestNoKeyMaterial(t *testing.T) {
	for _, name := range files(t) {
		switch strings.ToLower(filepath.Ext(name)) {
		case ".p12", ".pfx", ".jks", ".key", ".pem", ".der", ".crt", ".cer":
			t.Errorf("%s: keys and certificates do not belong in git; tests make their own", name)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if keyMaterial.Match(data) {
			t.Errorf("%s holds a private key: whoever clones the project has it, for ever; tests make their own", name)
		}
	}
}

// TestSkips lets a test be left out for a reason on this list only. A part that can be installed is no reason: 'make test' does it.
func TestSkips(t *testing.T) {
	reasons := []string{
		"the certificates of IGC-Santé are not in",           // a clone without the real samples beside it
		"another user's process can only be started by root", // the end-to-end tests do it with sudo
		"no IPv6 on this machine",                            // a property of the machine
		"net/http refuses it before the proxy",               // an input of a fuzz test that is none
	}
	skip := regexp.MustCompile(`\.Skip(f|Now)?\(.*`)
	for _, name := range files(t) {
		if !strings.HasSuffix(name, "_test.go") || name == "policy_test.go" {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range skip.FindAllString(string(data), -1) {
			if !slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(call, r) }) {
				t.Errorf("%s: %s: a part that is missing fails the tests; it is installed by 'make test'", name, call)
			}
		}
	}
}

// files returns the files of the repository, those of git where there is one.
func files(t *testing.T) []string {
	t.Helper()
	if out, err := exec.Command("git", "ls-files", "-z").Output(); err == nil && len(out) > 0 {
		var names []string
		for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
			if _, err := os.Lstat(name); err == nil { // deleted, and not yet committed
				names = append(names, name)
			}
		}
		return names
	}
	var names []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin"):
			return fs.SkipDir
		case d.Type().IsRegular():
			names = append(names, path)
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		t.Fatal(fmt.Errorf("no files: %w", err))
	}
	return names
}

// TestD19NoDirectory: nobody's words reach a filter of LDAP, since nothing here speaks it. Who adds a directory takes this rule out, and
// puts tests of escaping in its place.
func TestD19NoDirectory(t *testing.T) {
	for _, p := range list(t, "-deps", "./cmd/authgw", "./cmd/cardagent") {
		if strings.Contains(strings.ToLower(p.ImportPath), "ldap") {
			t.Errorf("%s is linked: filters made of what people type need escaping, and tests of it (D19)", p.ImportPath)
		}
	}
}
