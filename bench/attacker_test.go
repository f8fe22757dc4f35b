package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// attackerWord, as the only argument, makes the test's program the one that gives wrong passwords.
const attackerWord = "give-wrong-passwords"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == attackerWord {
		if err := attack(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// attacker is the process that gives wrong passwords. Those who do are elsewhere, so it takes only what the gateway and those who use it leave
// of the processors (SCHED_IDLE).
type attacker struct {
	orders  *json.Encoder
	reports *json.Decoder
	answers map[int]int // by status; 0: none
	sources int
}

// target is what an attacker is told first. Then it is sent how long to go on, and reports the answers, each time.
type target struct {
	Address string
	Root    []byte // DER
	Sources int    // network addresses to come from; 0: it asks for nothing, and computes all the time
	Anew    bool   // with a connection for each request
}

func newAttacker(b *testing.B, w *installation, at target) *attacker {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self, attackerWord)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { // its input ends, and so does it
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error("attacker:", err)
		}
	})
	a := &attacker{orders: json.NewEncoder(in), reports: json.NewDecoder(out), answers: map[int]int{}, sources: at.Sources}
	at.Address, at.Root = w.listen, w.pki.Server.Certificate.Raw
	if err := a.orders.Encode(at); err != nil {
		b.Fatal(err)
	}
	return a
}

// window gives wrong passwords for some time, and returns when all are answered.
func (a *attacker) window(d time.Duration) error {
	if err := a.orders.Encode(d); err != nil {
		return err
	}
	var answers map[int]int
	if err := a.reports.Decode(&answers); err != nil {
		return err
	}
	for status, n := range answers {
		a.answers[status] += n
	}
	return nil
}

// attack is the attacker's process, until its input ends.
func attack() error {
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0); err != nil {
		return err // threads that are started from now on have it; those of the runtime's own do little
	}
	orders, reports := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var t target
	if err := orders.Decode(&t); err != nil {
		return err
	}
	root, err := x509.ParseCertificate(t.Root)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	var clients []*http.Client
	for i := range t.Sources {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i))}}
		clients = append(clients, &http.Client{Timeout: time.Minute, Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return d.DialContext(ctx, network, t.Address)
			},
			TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 2 * floodRate, DisableKeepAlives: t.Anew,
		}})
	}
	for {
		var d time.Duration
		if orders.Decode(&d) != nil {
			return nil
		}
		var mu sync.Mutex
		answers := map[int]int{}
		if t.Sources == 0 {
			for end := time.Now().Add(d); time.Now().Before(end); {
			}
		} else {
			paced(floodRate, d, func(n int) {
				status := guess(clients[n%len(clients)])
				mu.Lock()
				defer mu.Unlock()
				answers[status]++
			})
		}
		if err := reports.Encode(answers); err != nil {
			return err
		}
	}
}

// guess is one wrong login. It returns the status of the answer; 0: there was none.
func guess(client *http.Client) int {
	form := url.Values{"identifier": {fmt.Sprint(899700000001 + mathrand.IntN(floodPersons))}, "password": {"not the password of anybody"}}
	r, err := http.NewRequest(http.MethodPost, "https://"+hosts[0].name+"/login/otp/password", strings.NewReader(form.Encode()))
	if err != nil {
		panic(err) // the address is well formed
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	answer, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil { // unread, it would end the connection
		return 0
	}
	return answer.StatusCode
}
