package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/config"
	"promess/authgw/internal/password"
)

const passwordsYAML = smallYAML + `passwords:
  memory: 47104
  passes: 1
  threads: 2
  concurrent: 3
  min_length: 15
  breached: breached.txt
`

func TestPasswords(t *testing.T) {
	dir := directory(t)
	write(t, filepath.Join(dir, "breached.txt"), "motdepasse1234\n", 0o644)
	file := filepath.Join(dir, "c.yaml")
	got, err := config.ParseGateway([]byte(passwordsYAML), file)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Passwords{Memory: 47104, Passes: 1, Threads: 2, Concurrent: 3, MinLength: 15, Breached: filepath.Join(dir, "breached.txt")}
	if diff := cmp.Diff(want, got.Passwords); diff != "" {
		t.Errorf("passwords (-want +got):\n%s", diff)
	}
	if got, want := got.Passwords.Params(), (password.Params{Memory: 47104, Time: 1, Threads: 2}); got != want {
		t.Errorf("Params = %+v, want %+v", got, want)
	}
	if got := (config.Passwords{}).Params(); got != password.Default {
		t.Errorf("Params of the zero value = %+v, want %+v", got, password.Default)
	}
	again, err := config.ParseGateway([]byte(got.Dump()), file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, again.Passwords); diff != "" {
		t.Errorf("passwords read back from the dump (-want +got):\n%s", diff)
	}
}

func TestPasswordsThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"cheaper than any advice", "memory: 47104", "memory: 8192", "passwords.memory: memory × passes of at least"},
		{"a gigabyte each", "memory: 47104", "memory: 1048576", "passwords.memory: a memory of 7168 to 262144 KiB expected"},
		{"a size with a unit", "memory: 47104", "memory: 46M", `passwords.memory: a number of KiB from 1 to 1048576 expected, "46M" given`},
		{"no lanes", "threads: 2", "threads: 0", "passwords.threads: a number from 1 to 100 expected"},
		{"too many lanes", "threads: 2", "threads: 20", "1 to 16 threads expected"},
		{"short passwords", "min_length: 15", "min_length: 7", "passwords.min_length: a number of characters from 8 to 64 expected"},
		{"none at once", "concurrent: 3", "concurrent: 0", "passwords.concurrent: a number from 1 to 256 expected"},
		{"a list that is not there", "breached.txt", "gone.txt", "passwords.breached: "},
		{"an empty list", "breached.txt", "empty.pem", "passwords.breached: "},
		{"a list that is not sorted", "breached.txt", "unsorted.txt", "sorted lines of HASH:COUNT expected"},
		{"another name", "min_length", "minimum_length", "passwords.minimum_length: unknown key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := directory(t)
			write(t, filepath.Join(dir, "breached.txt"), "motdepasse1234\n", 0o644)
			write(t, filepath.Join(dir, "unsorted.txt"), strings.Repeat("F", 40)+":1\n"+strings.Repeat("0", 40)+":1\n", 0o644)
			g, err := config.ParseGateway([]byte(strings.Replace(passwordsYAML, tt.old, tt.new, 1)), filepath.Join(dir, "c.yaml"))
			if g != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseGateway = %v, %v, want an error with %q", g, err, tt.want)
			}
		})
	}
}
