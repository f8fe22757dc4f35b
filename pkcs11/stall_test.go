package pkcs11_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"promess/authgw/pkcs11"
)

// childOf returns the process that runs the shim.
func (s shim) childOf(t testing.TB) int {
	t.Helper()
	calls := s.calls(t, "pid: ")
	var pid int
	if len(calls) != 1 {
		t.Fatalf("the shim was started %d times, want once", len(calls))
	}
	if _, err := fmt.Sscanf(calls[0], "pid: %d", &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

// alive tells whether a child of this process, or a zombie of one, is there.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestModuleThatStallsIsKilled(t *testing.T) {
	calls := map[string]func(*pkcs11.Module) error{
		"C_GetTokenInfo": func(m *pkcs11.Module) error {
			_, err := m.Tokens(deadline(t))
			return err
		},
		"C_Login": func(m *pkcs11.Module) error { return oneToken(t, m).Login(deadline(t), "1234") },
		"C_Sign": func(m *pkcs11.Module) error {
			token := oneToken(t, m)
			if err := token.Login(deadline(t), "1234"); err != nil {
				return err
			}
			return sign(token)
		},
	}
	for function, call := range calls {
		t.Run(function, func(t *testing.T) {
			s := newShim(t, function+"=hang")
			m := start(t, s.module, func(c *pkcs11.Config) { c.CallTimeout = 2 * time.Second })
			if err := call(m); !errors.Is(err, pkcs11.ErrStalled) {
				t.Errorf("the call = %v, want ErrStalled", err)
			}
			if pid := s.childOf(t); alive(pid) {
				t.Errorf("the process %d of the module is still there", pid)
			}
			// All that follows fails at once, for the same reason, and the next module works.
			if _, err := m.Tokens(deadline(t)); !errors.Is(err, pkcs11.ErrStalled) {
				t.Errorf("Tokens afterwards = %v, want ErrStalled", err)
			}
			if err := m.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if _, err := m.Tokens(deadline(t)); !errors.Is(err, pkcs11.ErrClosed) {
				t.Errorf("Tokens after Close = %v, want ErrClosed", err)
			}
			t.Setenv("SHIM_"+function, "0x0")
			if err := oneToken(t, start(t, s.module)).Login(deadline(t), "1234"); err != nil {
				t.Errorf("Login in the next module: %v", err)
			}
		})
	}
}

func TestSlowCallIsWaitedFor(t *testing.T) {
	s := newShim(t, "C_Login=slow", "C_Sign=slow")
	token := oneToken(t, start(t, s.module))
	if err := token.Login(deadline(t), "1234"); err != nil {
		t.Errorf("Login: %v", err)
	}
	if err := sign(token); err != nil {
		t.Errorf("Sign: %v", err)
	}
}

func TestEndOfTheContextEndsTheCall(t *testing.T) {
	s := newShim(t, "C_Login=hang")
	m := start(t, s.module)
	token := oneToken(t, m)
	why := errors.New("the person closed the window")
	ctx, cancel := context.WithCancelCause(deadline(t))
	time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
	if err := token.Login(ctx, "1234"); !errors.Is(err, why) {
		t.Errorf("Login = %v, want the cause of its context", err)
	}
	if pid := s.childOf(t); alive(pid) {
		t.Errorf("the process %d of the module is still there", pid)
	}
}

func TestCallsWaitForTheirTurn(t *testing.T) {
	s := newShim(t, "C_Login=hang")
	m := start(t, s.module)
	token := oneToken(t, m)
	first := make(chan error, 1)
	go func() { first <- token.Login(deadline(t), "1234") }()
	eventually(t, "the first call is in the module", func() bool { return len(s.calls(t, "login")) > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := token.Login(ctx, "1234"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second Login = %v, want the end of its context", err)
	}
	if pid := s.childOf(t); !alive(pid) {
		t.Errorf("a call that only waited has ended the module")
	}
	if err := m.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-first; !errors.Is(err, pkcs11.ErrClosed) {
		t.Errorf("the first Login = %v, want ErrClosed", err)
	}
	if got := len(s.calls(t, "login")); got != 1 {
		t.Errorf("the module got %d logins, want 1", got)
	}
}

func TestChildThatIsNone(t *testing.T) {
	s := newShim(t)
	for name, argv := range map[string][]string{"ends": {"true"}, "prints something else": {"sh", "-c", "echo hello world; exec sleep 60"}} {
		t.Run(name, func(t *testing.T) {
			m, err := pkcs11.Start(deadline(t), pkcs11.Config{Module: s.module, Command: argv})
			if !errors.Is(err, pkcs11.ErrCrashed) {
				t.Errorf("Start = %v, %v; want ErrCrashed", m, err)
			}
		})
	}
	t.Run("does not exist", func(t *testing.T) {
		if _, err := pkcs11.Start(deadline(t), pkcs11.Config{Module: s.module, Command: []string{"/nonexistent"}}); err == nil {
			t.Error("Start = nil")
		}
	})
	t.Run("is not named", func(t *testing.T) {
		if _, err := pkcs11.Start(deadline(t), pkcs11.Config{Module: s.module}); err == nil || !strings.Contains(err.Error(), "no command") {
			t.Errorf("Start = %v", err)
		}
	})
}
