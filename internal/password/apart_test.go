package password_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"promess/authgw/internal/password"
)

// serveWord makes the test's program the one that computes hashes.
const serveWord = "serve-hashes"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == serveWord {
		if err := password.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func hasherApart(t testing.TB, command ...string) *password.Hasher {
	t.Helper()
	h, err := password.NewHasher(weak, 1, command...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// What another process computes is what the authors' program does, and that process has less of the processor than this one.
func TestHashesOfAnotherProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := hasherApart(t, self, serveWord)
	stored := reference(t, secret, "saltsaltsaltsalt", password.Default, 32)
	verify(t, h, stored, secret, true)
	verify(t, h, stored, secret+" ", false)
	verify(t, h, "", secret, false)
	own, err := h.Hash(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, hasher(t, weak), own, secret, true)

	pid := h.ProcessForTest()
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("%d threads, %v", len(threads), err)
	}
	for _, thread := range threads {
		var id int
		fmt.Sscan(thread.Name(), &id)
		if got, err := unix.SchedGetAttr(id, 0); err != nil || got.Policy != unix.SCHED_IDLE {
			t.Errorf("a thread has the policy %+v, %v, want SCHED_IDLE", got, err)
		}
	}

	// It may end, as an idle one does, or be killed: another takes its place.
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	verify(t, h, own, secret, true)
	if h.ProcessForTest() == pid {
		t.Error("no other process was started")
	}
}

// On a machine where others leave nothing of the processors, people still sign in: the process gets a share.
func TestStarvedProcessIsHurried(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The first one never answers, as one that never runs.
	h := hasherApart(t, "sh", "-c", `[ "$AUTHGW_HASHES" = hurried ] || exec sleep 600; exec "$0" `+serveWord, self)
	stored := reference(t, secret, "saltsaltsaltsalt", password.Default, 32)
	verify(t, h, stored, secret, true)
	pid := h.ProcessForTest()
	// getpriority(2): the system call gives 20 - nice.
	if got, err := syscall.Getpriority(syscall.PRIO_PROCESS, pid); err != nil || 20-got != 10 {
		t.Errorf("it has the niceness %d, %v, want 10", 20-got, err)
	}
	verify(t, h, stored, secret+" ", false)
	if h.ProcessForTest() != pid {
		t.Error("it was replaced, and not kept")
	}
}

// A program that cannot be started, ends, or answers something else lets nobody in.
func TestProcessThatComputesNothingLetsNobodyIn(t *testing.T) {
	stored, err := hasher(t, weak).Hash(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, command := range map[string][]string{
		"not there": {"/nonexistent/authgw"}, "ends": {"false"}, "echo": {"cat"}, "nothing": {"sh", "-c", "read job; echo '\"\"'"},
		"short": {"sh", "-c", "read job; echo '\"AAAA\"'"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hasherApart(t, command...)
			for range 2 {
				right, err := h.Verify(t.Context(), stored, secret)
				if right || err == nil || strings.Contains(err.Error(), secret) {
					t.Errorf("Verify = %t, %v, want an error without the password", right, err)
				}
			}
			if got, err := h.Hash(t.Context(), secret); err == nil {
				t.Errorf("Hash = %q", got)
			}
		})
	}
}

// The process computes what a hash may cost, and nothing else.
func TestServeRefusesWhatIsNoJob(t *testing.T) {
	for name, change := range map[string]func(j map[string]any){
		"gigabytes": func(j map[string]any) { j["Memory"] = 4 << 20 }, "no passes": func(j map[string]any) { j["Time"] = 0 },
		"no length": func(j map[string]any) { j["Length"] = 0 }, "a long one": func(j map[string]any) { j["Length"] = 1 << 30 },
	} {
		t.Run(name, func(t *testing.T) {
			j := map[string]any{"Memory": 8192, "Time": 1, "Threads": 1, "Salt": []byte("saltsaltsaltsalt"), "Prepared": secret, "Length": 32}
			var out strings.Builder
			line := func() string {
				data, err := json.Marshal(j)
				if err != nil {
					t.Fatal(err)
				}
				return string(data)
			}
			if err := password.Serve(strings.NewReader(line()), &out); err != nil || out.Len() == 0 {
				t.Fatalf("Serve = %v, answers %q", err, &out)
			}
			change(j)
			out.Reset()
			if err := password.Serve(strings.NewReader(line()), &out); err == nil || out.Len() > 0 || strings.Contains(err.Error(), secret) {
				t.Errorf("Serve = %v, answers %q", err, &out)
			}
		})
	}
	if err := password.Serve(strings.NewReader("{\"Prepared\": \""+secret), nil); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("Serve = %v", err)
	}
}
