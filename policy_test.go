// Package authgw holds the rules of this repository, as tests. A rule that only a document states is broken within a year.
package authgw

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/version"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
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

// systems are those that the commands are made for. Files for one alone are not seen from another.
var systems = []string{"linux", "windows", "darwin"}

// everywhere returns packages of the module as they are on each of the systems: most of them several times.
func everywhere(t *testing.T) []pkg {
	t.Helper()
	var all []pkg
	for _, system := range systems {
		all = append(all, listOn(t, system, "./...")...)
	}
	return all
}

// list returns packages of the module as they are on this machine.
func list(t *testing.T, patterns ...string) []pkg {
	t.Helper()
	return listOn(t, runtime.GOOS, patterns...)
}

func listOn(t *testing.T, system string, patterns ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,GoFiles,CgoFiles,Imports,Deps"}, patterns...)...)
	cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=1") // nothing is compiled: pkcs11 is there with C only
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
	for _, p := range everywhere(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		deps[name] = slices.Compact(slices.Sorted(slices.Values(append(deps[name], own(p.Deps)...))))
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
	for _, p := range everywhere(t) {
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
	seen := map[string]bool{}
	for _, p := range everywhere(t) {
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
			name = filepath.Join(p.Dir, name)
			if seen[name] {
				continue
			}
			seen[name] = true
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, nil, 0)
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
					if sel, ok := n.(*ast.SelectorExpr); ok && ends(file, sel) {
						t.Errorf("%s: %s outside main: deferred functions would not run, and a card would stay open", set.Position(sel.Pos()), sel.Sel.Name)
					}
					return true
				})
			}
		}
	}
}

// ends says whether a selector is of something that ends the process, or a goroutine with what it deferred. A Fatal is one of package log, or
// of a logger, whatever its name; only where there are tests it is theirs.
func ends(file *ast.File, sel *ast.SelectorExpr) bool {
	switch sel.Sel.Name {
	case "Fatal", "Fatalf", "Fatalln":
		return !imports(file, "testing")
	case "Exit", "ExitProcess", "Goexit":
		x, _ := sel.X.(*ast.Ident)
		return x != nil && slices.ContainsFunc(file.Imports, func(s *ast.ImportSpec) bool {
			local := strings.Trim(s.Path.Value, `"`)
			if s.Name != nil {
				local = s.Name.Name
			}
			return local[strings.LastIndex(local, "/")+1:] == x.Name
		})
	}
	return false
}

// keyMaterial is what a private key looks like in a file: a PEM block with a body, not the words in a program; as a text of a program it
// has \n for its ends of lines. Or a JSON Web Key with its private part (RFC 7518, sections 6.2.2 and 6.3.2).
var keyMaterial = regexp.MustCompile(`-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----(\s|\\[rn]|[A-Za-z-]+: [^\n\\]*)+([A-Za-z0-9+/=]|\s|\\[rn]){60,}` +
	`|"d"\s*:\s*"[A-Za-z0-9_-]{40,}"`)

// isKey says whether data is a private key in DER.
func isKey(data []byte) bool {
	_, err8 := x509.ParsePKCS8PrivateKey(data)
	_, err1 := x509.ParsePKCS1PrivateKey(data)
	_, errEC := x509.ParseECPrivateKey(data)
	return err8 == nil || err1 == nil || errEC == nil
}

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
		if keyMaterial.Match(data) || isKey(data) {
			t.Errorf("%s holds a private key: whoever clones the project has it, for ever; tests make their own", name)
		}
	}
}

// TestKeyMaterialIsKnown: the rule above finds keys as people leave them.
func TestKeyMaterialIsKnown(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	encrypted := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: der}))
	for name, text := range map[string]string{
		"PEM": block, "PEM with the ends of lines of Windows": strings.ReplaceAll(block, "\n", "\r\n"), "PEM with headers": encrypted,
		"PEM as a text of a program": strconv.Quote(block), "PEM in YAML": strings.ReplaceAll("key: |\n"+block, "\n", "\n    "), "DER": string(der),
		"a JSON Web Key": `{"kty":"EC", "d": "` + base64.RawURLEncoding.EncodeToString(der[:32]) + `"}`,
	} {
		if !keyMaterial.MatchString(text) && !isKey([]byte(text)) {
			t.Errorf("%s is not known as a private key", name)
		}
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})), "begins with -----BEGIN PRIVATE KEY-----, in PEM", string(public)} {
		if keyMaterial.MatchString(text) || isKey([]byte(text)) {
			t.Errorf("%q is taken for a private key", text)
		}
	}
}

// TestWhatIsBuiltIsIgnored: what the commands of README.md leave in the tree is not of the project.
func TestWhatIsBuiltIsIgnored(t *testing.T) {
	data, err := os.ReadFile(".gitignore")
	if err != nil {
		t.Fatal(err)
	}
	ignored := strings.Split(string(data), "\n")
	for _, p := range list(t, "./cmd/...") {
		if name := "/" + filepath.Base(p.ImportPath); !slices.Contains(ignored, name) {
			t.Errorf(".gitignore is without %s: 'go build ./cmd%s' leaves it there, tens of megabytes for 'git add' to take", name, name)
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

// TestD10DoorsAreKnown: a session begins in these files alone. Who adds another door adds it here, with tests that it asks for all factors,
// counts failures, refuses disabled accounts and cannot be entered twice.
func TestD10DoorsAreKnown(t *testing.T) {
	want := []string{"idp/card/browser.go", "idp/otp/second.go", "idp/passkey/login.go", "idp/psc/login.go", "idp/qr/login.go", "idp/server.go", "idp/sessions.go"}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	inspect(t, shipped(t), func(name string, _ *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, _ := f.X.(*ast.SelectorExpr)
			if f.Sel.Name == "Succeed" || f.Sel.Name == "CreateSession" || f.Sel.Name == "open" && of != nil && of.Sel.Name == "Sessions" {
				short, err := filepath.Rel(root, name)
				if err != nil {
					t.Error(err)
				}
				got = append(got, filepath.ToSlash(short))
			}
			return true
		})
	})
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("sessions begin in %q, want %q", got, want)
	}
}

// shipped returns the packages of the module that the commands are made of, each once.
func shipped(t *testing.T) []pkg {
	t.Helper()
	var all []pkg
	for _, p := range list(t, "-deps", "./cmd/authgw", "./cmd/cardagent") {
		if p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/") {
			all = append(all, p)
		}
	}
	if len(all) < 20 {
		t.Fatalf("%d packages: not what the commands are made of", len(all))
	}
	return all
}

// inspect walks through the files of packages, those for other systems included.
func inspect(t *testing.T, all []pkg, visit func(name string, set *token.FileSet, file *ast.File)) {
	t.Helper()
	for _, p := range all {
		names, err := filepath.Glob(filepath.Join(p.Dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			visit(name, set, file)
		}
	}
}

// imports says whether a file imports a package.
func imports(file *ast.File, path string) bool {
	return slices.ContainsFunc(file.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == `"`+path+`"` })
}

// TestF15NoSAML: whoever offers SAML takes this rule out, and puts tests of wrapping, of comments in names and of conditions in its place.
func TestF15NoSAML(t *testing.T) {
	for _, p := range list(t, "-deps", "./cmd/authgw", "./cmd/cardagent") {
		if path := strings.ToLower(p.ImportPath); strings.Contains(path, "saml") || strings.Contains(path, "xmldsig") || strings.Contains(path, "etree") {
			t.Errorf("%s is linked: SAML is not offered (F15)", p.ImportPath)
		}
	}
}

// TestA18NoOCSP: what is revoked, lists say. Whoever asks OCSP responders takes this rule out, and puts tests of the answers' signer, dates and status in its
// place.
func TestA18NoOCSP(t *testing.T) {
	inspect(t, shipped(t), func(name string, _ *token.FileSet, file *ast.File) {
		if imports(file, "golang.org/x/crypto/ocsp") || imports(file, "github.com/go-webauthn/x/revoke") {
			t.Errorf("%s: answers of OCSP are read, and no test looks at who has signed them (A18)", name)
		}
	})
}

// TestG6NoShell: there are no hooks, and nobody's words reach a shell. authgw starts itself alone (for password hashes); the workstation also itself (for
// card software) and dialog programs by their path, with arguments that no shell reads.
func TestG6NoShell(t *testing.T) {
	may := []string{module + "/internal/password", module + "/internal/agent/dialog", module + "/pkcs11"}
	shells := []string{"sh", "bash", "dash", "ash", "cmd", "cmd.exe", "powershell", "powershell.exe", "pwsh", "env", "-c", "/c"}
	all := shipped(t)
	for _, p := range all {
		for _, program := range []string{"os/exec", "plugin"} {
			if slices.Contains(p.Imports, program) && !slices.Contains(may, p.ImportPath) {
				t.Errorf("%s imports %s: what may start programs is on the list of this rule (G6)", p.ImportPath, program)
			}
		}
	}
	inspect(t, all, func(name string, set *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				text := strings.Trim(n.Value, "\"`")
				if n.Kind == token.STRING && imports(file, "os/exec") && slices.Contains(shells, strings.ToLower(filepath.Base(text))) {
					t.Errorf("%s: %s beside os/exec: no shell is started (G6)", set.Position(n.Pos()), n.Value)
				}
			case *ast.SelectorExpr:
				if strings.Contains(n.Sel.Name, "Sendmail") || n.Sel.Name == "StartProcess" || n.Sel.Name == "ForkExec" {
					t.Errorf("%s: %s starts a program (G6)", set.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	})
}

// TestC4PatternsAreOursAndAnchored: no pattern comes from a configuration, so there is none for a linter of it to refuse; and what decides whether a text
// is good looks at all of it.
func TestC4PatternsAreOursAndAnchored(t *testing.T) {
	// These find a piece of a text, which is refused for it, or shown; they let nothing in.
	finders := []string{"unsafeInURL", "returnValue", "escapePattern", "dotsPattern", "rules"}
	literal := func(e ast.Expr) (text string, ok bool) {
		ok = true
		ast.Inspect(e, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				text += strings.Trim(n.Value, "\"`")
			case *ast.BinaryExpr, nil:
			case *ast.Ident: // a constant of ours
				ok = ok && n.Name == "AgentScheme"
			default:
				ok = false
			}
			return true
		})
		return text, ok
	}
	seen := 0
	inspect(t, shipped(t), func(_ string, set *token.FileSet, file *ast.File) {
		if !imports(file, "regexp") {
			return
		}
		names := map[ast.Node]string{} // of the variables that patterns are
		ast.Inspect(file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok {
				for i, value := range v.Values {
					names[value] = v.Names[i].Name
				}
			}
			call, _ := n.(*ast.CallExpr)
			if call == nil || len(call.Args) == 0 {
				return true
			}
			sel, _ := call.Fun.(*ast.SelectorExpr)
			if sel == nil {
				return true
			}
			x, _ := sel.X.(*ast.Ident)
			if x == nil || x.Name != "regexp" || sel.Sel.Name == "QuoteMeta" {
				return true
			}
			seen++
			text, ok := literal(call.Args[0])
			switch {
			case !ok:
				t.Errorf("%s: a pattern that is not written here: whoever writes it forgets the anchors (C4)", set.Position(call.Pos()))
			case slices.Contains(finders, names[call]):
			case !strings.HasPrefix(text, "^") || !strings.HasSuffix(text, "$") || hasBareAlternative(text):
				t.Errorf("%s: %q looks at a piece of a text: anchor it on both sides, or list it as one that finds (C4)", set.Position(call.Pos()), text)
			}
			return true
		})
	})
	if seen < 20 {
		t.Errorf("%d patterns found: the rule looks past them", seen)
	}
}

// hasBareAlternative says whether a pattern has a | outside of parentheses, which takes an anchor away from the other side.
func hasBareAlternative(pattern string) bool {
	depth, class := 0, false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			return true
		}
	}
	return false
}

// leastGo is the oldest release of Go whose standard library has no hole that is known to reach here. Whoever releases raises it: what 'go version -m'
// says of the binary, in go.dev/doc/devel/release, is what goes out with it.
const leastGo = "go1.26.8"

// TestG12TheToolchainIsPatched: TLS, certificates and HTTP are Go's, so that an old toolchain is a hole. The database of govulncheck is not in the
// repository: run it where that can be reached.
func TestG12TheToolchainIsPatched(t *testing.T) {
	if v := runtime.Version(); version.IsValid(v) && version.Compare(v, leastGo) < 0 {
		t.Errorf("built with %s: use %s or later, whose standard library has been mended since (G12)", v, leastGo)
	}
	data, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^go ([0-9.]+)$`).FindSubmatch(data)
	if line == nil || version.Compare(version.Lang("go"+string(line[1])), version.Lang(leastGo)) < 0 {
		t.Errorf("go.mod says %q: it lets an older Go than %s build", line, version.Lang(leastGo))
	}
}
