package gateway_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"promess/authgw/internal/config"
	"promess/authgw/internal/gateway"
	"promess/authgw/internal/pgtest"
)

// A PostgreSQL database is opened with the password of its file, and with no other; no message shows one.
func TestPostgresWithThePasswordOfAFile(t *testing.T) {
	server := pgtest.Start(t, pgtest.Config{})
	server.Exec(t, pgtest.Superuser, "CREATE ROLE authgw LOGIN PASSWORD 'hunter2 é'")
	server.Exec(t, pgtest.Superuser, "CREATE DATABASE authgw OWNER authgw")
	f := newFiles(t)
	open := func(password string) error {
		f.write(t, "password", []byte(password))
		c := &config.Gateway{Database: fmt.Sprintf("postgres://authgw@127.0.0.1:%d/authgw", server.Port), DatabasePasswordFile: f.path("password")}
		st, err := gateway.OpenStore(t.Context(), c, slog.New(slog.DiscardHandler))
		if err == nil {
			err = st.Ping(t.Context())
			st.Close()
		}
		return err
	}
	if err := open("hunter2 é\n"); err != nil {
		t.Errorf("with the password of the role: %v", err)
	}
	for _, wrong := range []string{"hunter3", "hunter2\nhunter2"} {
		err := open(wrong)
		if err == nil {
			t.Errorf("it was opened with the password %q", wrong)
		} else if strings.Contains(err.Error(), "hunter") {
			t.Errorf("the message shows the password: %v", err)
		}
	}
	if err := open("hunter3"); err == nil || !strings.Contains(err.Error(), "password authentication failed") {
		t.Errorf("with a wrong password = %v, want PostgreSQL's word for it", err)
	}
}
