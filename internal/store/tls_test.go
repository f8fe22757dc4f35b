package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
)

func newPKI(t *testing.T) *testpki.PKI {
	t.Helper()
	pki, err := testpki.New(testpki.Config{CardsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	return pki
}

// authority writes the authority of TLS servers of a hierarchy to a file.
func authority(t *testing.T, pki *testpki.PKI) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, testpki.CertificatePEM(pki.Server.Certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// role is how a gateway signs in to a server of these tests, which then has a database of that name.
func role(t *testing.T, server *pgtest.Server) {
	t.Helper()
	server.Exec(t, pgtest.Superuser, "CREATE ROLE authgw LOGIN PASSWORD 'hunter2'")
	server.Exec(t, pgtest.Superuser, "CREATE DATABASE authgw OWNER authgw")
}

// far is a database's URL as the configuration wants it of a server on another machine.
func far(server *pgtest.Server, ca string) string {
	return fmt.Sprintf("postgres://authgw@127.0.0.1:%d/authgw?sslmode=verify-full&sslrootcert=%s", server.Port, ca)
}

func secured(t *testing.T, pki *testpki.PKI, names ...string) *pgtest.Server {
	t.Helper()
	cert, err := pki.ServerCertificate(names...)
	if err != nil {
		t.Fatal(err)
	}
	server := pgtest.Start(t, pgtest.Config{Certificate: &cert})
	role(t, server)
	return server
}

func openFar(t *testing.T, url string) (*store.Store, error) {
	t.Helper()
	c := silent(url)
	c.Password = "hunter2"
	s, err := store.Open(t.Context(), c)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

// Every connection to a server on another machine is encrypted, those that hear of changes and that migrate included.
func TestEveryConnectionIsEncrypted(t *testing.T) {
	pki := newPKI(t)
	server := secured(t, pki, "127.0.0.1")
	// The server lets nobody in without TLS: what is forgotten would fail.
	if _, err := openFar(t, fmt.Sprintf("postgres://authgw@127.0.0.1:%d/authgw?sslmode=disable", server.Port)); err == nil || !strings.Contains(err.Error(), "no encryption") {
		t.Fatalf("open without TLS = %v, want PostgreSQL's word for it", err)
	}
	s, err := openFar(t, far(server, authority(t, pki)))
	if err != nil {
		t.Fatal(err)
	}
	told, _ := listen(t, s)
	within(t, "it listens", func(context.Context) error { <-told; return nil })
	var plain, encrypted int
	postgres.scan(t, server.URL("authgw"), `SELECT count(*) FILTER (WHERE NOT ssl), count(*) FILTER (WHERE ssl)
		FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'authgw'`, &plain, &encrypted)
	if plain != 0 || encrypted < 2 {
		t.Errorf("%d connections without TLS and %d with it, want none and two or more", plain, encrypted)
	}
}

// Whoever answers in the server's place gets neither the password nor a session.
func TestServersThatAreNotTheRightOne(t *testing.T) {
	pki := newPKI(t)
	for _, tt := range []struct {
		name, want string
		server     func(t *testing.T) *pgtest.Server
	}{
		{"of another name", "not 127.0.0.1", func(t *testing.T) *pgtest.Server { return secured(t, pki, "db.example.test", "127.0.0.2") }},
		{"of another authority", "certificate signed by unknown authority", func(t *testing.T) *pgtest.Server { return secured(t, newPKI(t), "127.0.0.1") }},
		{"that speaks no TLS", "server refused TLS connection", func(t *testing.T) *pgtest.Server {
			s := pgtest.Start(t, pgtest.Config{})
			role(t, s)
			return s
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := tt.server(t)
			_, err := openFar(t, far(server, authority(t, pki)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("open = %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("the message shows the password")
			}
		})
	}
}
