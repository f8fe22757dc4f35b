package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"promess/authgw/internal/testpki"
)

// TestDemo is what somebody does who has just cloned the project: start the demonstration, sign in, stop it.
func TestDemo(t *testing.T) {
	for _, card := range []struct{ name, flag string }{{"a card as CPS3", "--pss=false"}, {"a card as CPS4", "--pss"}} {
		t.Run(card.name, func(t *testing.T) { demonstration(t, card.flag) })
	}
}

func demonstration(t *testing.T, flag string) {
	// The first port is taken by something else, which the demonstration says and gets round.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	empty := t.TempDir()
	demo := &process{name: "authgw demo", out: &output{}, done: make(chan struct{})}
	demo.cmd = exec.Command(binaries.authgw, "demo", "--listen", taken.Addr().String(), flag)
	demo.cmd.Dir = empty
	demo.cmd.Env = append(os.Environ(), "TMPDIR="+empty, "HOME="+empty)
	demo.cmd.Stdout, demo.cmd.Stderr = demo.out, demo.out
	hands, err := demo.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		demo.err = demo.cmd.Wait()
		close(demo.done)
	}()
	t.Cleanup(func() { demo.stop(t) })
	demo.await(t, "config_loaded")
	said := demo.out.String()
	if want := fmt.Sprintf("Port %d is taken", taken.Addr().(*net.TCPAddr).Port); !strings.Contains(said, want) {
		t.Errorf("it does not say %q:\n%s", want, said)
	}

	// It says where to go and what to type; a person goes on after the browser's warning about its certificates.
	address := regexp.MustCompile(`Open +(https://mail\.localhost:\d+/)`).FindStringSubmatch(said)
	pin := regexp.MustCompile(`Type +(\d+),`).FindStringSubmatch(said)
	if address == nil || pin == nil {
		t.Fatalf("no address or no PIN in what it says:\n%s", said)
	}
	root, err := testpki.New(testpki.Config{CardsOnly: true}) // any: the demonstration's own is nowhere to be had
	if err != nil {
		t.Fatal(err)
	}
	browser := startChromium(t, root.Server.Certificate, func(*chromium) []chromedp.ExecAllocatorOption {
		return []chromedp.ExecAllocatorOption{chromedp.Flag("ignore-certificate-errors", true)}
	}).browser(t)
	browser.open(t, address[1])
	browser.screenshot(t, "demo-login")
	tab := browser.clickToNewTab(t, "form[action='/login/card'] button")
	tab.await(t, "ProMess (démonstration)", "Jeanne MARTIN")
	tab.enterPIN(t, pin[1])
	tab.awaitURL(t, address[1])
	tab.await(t, "Boîte de réception", "Jeanne MARTIN", "899700218896", "vérifiée : signée par la passerelle")
	tab.screenshot(t, "demo-mail")
	tab.open(t, strings.Replace(address[1], "mail.", "agenda.", 1))
	tab.await(t, "Agenda partagé", "Jeanne MARTIN")
	tab.open(t, strings.Replace(address[1], "mail.", "auth.", 1))
	tab.await(t, "Mon compte", "Bonjour, Jeanne MARTIN")
	tab.screenshot(t, "demo-portal")
	tab.open(t, strings.Replace(address[1], "mail.", "auth.", 1)+"account")
	tab.await(t, "Mon compte", "RPPS 899700218896", "Médecin", "Se déconnecter partout", "127.0.0.1", "Chrome")
	tab.screenshot(t, "demo-account")

	// Pulling the card ends the session.
	if _, err := io.WriteString(hands, "r\n"); err != nil {
		t.Fatal(err)
	}
	demo.await(t, `"reason":"card_removed"`)
	tab.open(t, address[1])
	tab.await(t, "Se connecter avec ma carte CPS")

	// Ctrl-C ends it, and nothing is left behind.
	if err := demo.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-demo.done:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	if demo.err != nil {
		t.Errorf("it ended with %v:\n%s", demo.err, demo.out)
	}
	left, err := os.ReadDir(empty)
	if err != nil || len(left) != 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
	for _, line := range strings.Split(demo.out.String(), "\n") {
		if strings.HasPrefix(line, "audit ") && (strings.Contains(line, "MARTIN") || strings.Contains(line, pin[1]+`"`)) {
			t.Errorf("an audit event holds personal data: %s", line)
		}
	}
}
