package store_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// A write that is to survive a power cut is not done before the log is on the disk, nor when the log cannot be brought there; a login in progress
// does not wait for it. That the log is waited for shows when there is none of its name.
func TestDurableWritesWaitForTheLog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "authgw.db")
	s := open(t, name)
	a := account(t, s)
	session(t, s, "s-before", a)
	code := store.Code{Purpose: store.ForAddress, Subject: a.Subject, Holder: "s-before", Address: "j@example.test", MAC: "m", Tries: 5, Sent: noon, Expires: noon.Add(time.Minute)}
	if _, err := s.AddCode(t.Context(), code, store.CodeLimits{Round: time.Hour, Most: 1}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+"-wal", name+"-away"); err != nil {
		t.Fatal(err)
	}
	begun := store.Login{Browser: hash(t, token.Browser), Method: "card", Expires: noon.Add(time.Minute)}
	check(t, "begin a login", s.CreateLogin(t.Context(), hash(t, token.Handle), begun, noon), nil)
	check(t, "touch a session", s.TouchSession(t.Context(), "s-before", noon.Add(time.Second)), nil)

	check(t, "end a session", s.EndSession(t.Context(), "s-before", "logout", noon), fs.ErrNotExist)
	_, err := s.ClearAttempts(t.Context(), a.Subject) // a statement by itself
	check(t, "forget failures", err, fs.ErrNotExist)
	_, err = s.TryCode(t.Context(), store.ForAddress, a.Subject, "s-before", noon) // one that answers with what it has written
	check(t, "try a code", err, fs.ErrNotExist)
	_, err = s.TryCode(t.Context(), store.ForAddress, a.Subject, "s-other", noon)
	check(t, "try a code that is not there", err, store.ErrNotFound)

	if err := os.Rename(name+"-away", name+"-wal"); err != nil {
		t.Fatal(err)
	}
	_, err = s.ClearAttempts(t.Context(), a.Subject)
	check(t, "forget them again", err, nil)
}
