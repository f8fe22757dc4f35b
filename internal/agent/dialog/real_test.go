package dialog_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/agent"
	"promess/authgw/internal/agent/dialog"
)

// startDisplay starts an X server of the test's own and makes it the display of the process.
func startDisplay(t *testing.T) {
	t.Helper()
	for _, program := range []string{"Xvfb", "xdotool"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: apt-get install xvfb xdotool zenity pinentry-gtk2 pinentry-qt", program)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	x := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1024x768x24", "-nolisten", "tcp", "-noreset")
	x.ExtraFiles = []*os.File{w}
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Process.Kill(); x.Wait() })
	w.Close()
	r.SetReadDeadline(time.Now().Add(20 * time.Second))
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb gives no display: %v", err)
	}
	t.Setenv("DISPLAY", ":"+strings.TrimSpace(number))
	t.Setenv("WAYLAND_DISPLAY", "")
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	t.Setenv("LC_ALL", "C.UTF-8")
}

func xdotool(args ...string) (string, error) {
	out, err := exec.Command("xdotool", args...).Output()
	return strings.TrimSpace(string(out)), err
}

// window waits for the dialog and returns its id; "" when the program ended first. It is found by its title, which names the
// gateway.
func window(t *testing.T, ended <-chan struct{}) string {
	t.Helper()
	var id string
	waitFor(t, func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		out, err := xdotool("search", "--onlyvisible", "--name", "Code porteur – ProMess$")
		id = strings.Split(out, "\n")[0]
		return err == nil && id != ""
	})
	return id
}

func height(t *testing.T, id string) int {
	t.Helper()
	out, err := xdotool("getwindowgeometry", "--shell", id)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "HEIGHT="); ok {
			n, _ := strconv.Atoi(v)
			return n
		}
	}
	t.Fatalf("no height in %q", out)
	return 0
}

// The programs themselves: what is typed comes back, Escape cancels, the end of the context closes the window, and the last
// try is shown (the window is taller by its lines; TestTexts says which).
func TestRealPrograms(t *testing.T) {
	startDisplay(t)
	for _, program := range []struct{ kind, path string }{
		{"zenity", "zenity"}, {"pinentry", "pinentry-gtk-2"}, {"pinentry", "pinentry-qt"},
	} {
		t.Run(program.path, func(t *testing.T) {
			p, err := dialog.Find(dialog.Config{Kind: program.kind, Program: program.path, Getenv: environment("LANG", "fr_FR.UTF-8")})
			if err != nil {
				t.Fatalf("%v: apt-get install zenity pinentry-gtk2 pinentry-qt", err)
			}
			first := agent.PINRequest{Gateway: "ProMess", Origin: "https://connexion.example.test", Holder: "Jeanne MARTIN", Min: 4, Max: 4}
			last := first
			last.Wrong, last.Last = true, true

			pin, small, err := ask(t, p, first, func(id string, _ func()) { press(id, "4711", "Return") })
			if pin != "4711" || err != nil {
				t.Errorf("typed 4711: %q %v", pin, err)
			}
			_, tall, err := ask(t, p, last, func(id string, _ func()) { press(id, "", "Escape") })
			if !errors.Is(err, agent.ErrCancelled) {
				t.Errorf("Escape: %v, want ErrCancelled", err)
			}
			if tall < small+20 {
				t.Errorf("the window of the last try is %d high, the first %d: the warning is not shown", tall, small)
			}
			_, _, err = ask(t, p, first, func(_ string, cancel func()) { cancel() })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("context ended: %v, want context.Canceled", err)
			}
		})
	}
}

// ask shows the dialog, lets act use it until it answers, and returns the answer and the height of the window. act is
// repeated: without a window manager, keys that come before the window has the keyboard are lost.
func ask(t *testing.T, p agent.Prompter, r agent.PINRequest, act func(id string, cancel func())) (pin string, tall int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	ended := make(chan struct{})
	go func() { defer close(ended); pin, err = p.AskPIN(ctx, r) }()
	id := window(t, ended)
	if id == "" {
		<-ended
		return pin, 0, err
	}
	tall = height(t, id)
	for {
		act(id, cancel)
		select {
		case <-ended:
			// The server may show a window for a moment after its process: the next question must not find it.
			waitFor(t, func() bool { out, _ := xdotool("search", "--onlyvisible", "--name", "Code porteur"); return out == "" })
			return pin, tall, err
		case <-time.After(2 * time.Second):
		}
	}
}

// press replaces what is in the field by text, and presses key. Its failures show as no answer.
func press(id, text, key string) {
	xdotool("windowfocus", id)
	if text != "" {
		xdotool("key", "ctrl+a")
		xdotool("type", "--delay", "30", text)
	}
	xdotool("key", key)
}
