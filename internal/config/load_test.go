package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"promess/authgw/internal/config"
)

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := directory(t)
	for _, tt := range []struct{ name, file, want string }{
		{"no file", "none.yaml", "no such file or directory"},
		{"a directory", "trust", "is not a file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := config.LoadGateway(filepath.Join(dir, tt.file))
			if g != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("LoadGateway = %v, %v, want an error with %q", g, err, tt.want)
			}
			a, err := config.LoadAgent(filepath.Join(dir, tt.file))
			if a != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("LoadAgent = %v, %v, want an error with %q", a, err, tt.want)
			}
		})
	}
}
