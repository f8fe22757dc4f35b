package e2e

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"promess/authgw/internal/testpki"
)

// domain is where all hosts of the tests are: a real domain's shape, so that cookies and sites behave as they do in the field.
const domain = "promess.test"

// chromium is a running browser, with a profile of its own.
type chromium struct {
	ctx  context.Context
	home string
}

// startChromium starts Chromium, which trusts root as an administrator makes it trust one: by its certificate database. prepare may
// change the profile before the start, and the way it is started.
func startChromium(t *testing.T, root *x509.Certificate, prepare ...func(*chromium) []chromedp.ExecAllocatorOption) *chromium {
	t.Helper()
	c := &chromium{home: t.TempDir()}
	c.nss(t, "certutil", "-N", "--empty-password")
	file := filepath.Join(c.home, "root.pem")
	if err := os.WriteFile(file, testpki.CertificatePEM(root), 0o600); err != nil {
		t.Fatal(err)
	}
	c.nss(t, "certutil", "-A", "-n", "root", "-t", "C,,", "-i", file)

	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(mustFind(t, "chromium", "chromium", "chromium-browser", "google-chrome")),
		chromedp.Flag("no-first-run", true), chromedp.Flag("no-default-browser-check", true), chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true),
		chromedp.Flag("headless", "new"),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("lang", "fr-FR"), chromedp.Flag("accept-lang", "fr-FR"),
		chromedp.Flag("host-resolver-rules", "MAP *."+domain+" 127.0.0.1"),
		chromedp.Flag("user-data-dir", filepath.Join(c.home, "profile")),
		chromedp.Env("HOME="+c.home, "LANGUAGE=fr"),
		chromedp.Flag("window-size", "1280,900"),
	}
	for _, f := range prepare {
		options = append(options, f(c)...)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	c.ctx = ctx
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return c
}

// nss runs a tool of NSS on the browser's certificate database.
func (c *chromium) nss(t *testing.T, tool string, args ...string) {
	t.Helper()
	dir := filepath.Join(c.home, ".pki", "nssdb")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(mustFind(t, "libnss3-tools", tool), append([]string{"-d", "sql:" + dir}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", tool, err, out)
	}
}

// browser opens a person's browser: cookies of its own, one tab.
func (c *chromium) browser(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	return newTab(t, ctx)
}

// newTab makes the first use of a context, which must not be one with a deadline: the tab would end with it.
func newTab(t *testing.T, ctx context.Context) *tab {
	t.Helper()
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return &tab{ctx: ctx}
}

// tab is a tab of a browser.
type tab struct{ ctx context.Context }

// do runs actions, or ends the test with what the tab shows.
func (b *tab) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatalf("browser: %v\nit shows %s:\n%s", err, b.url(), b.text())
	}
}

func (b *tab) open(t *testing.T, url string) {
	t.Helper()
	b.do(t, chromedp.Navigate(url))
}

// evaluate returns the value of an expression as text, and "" while the tab is between two pages.
func (b *tab) evaluate(expression string) string {
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Second)
	defer cancel()
	v, _ := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	return v
}

func (b *tab) text() string { return b.evaluate(`document.body ? document.body.innerText : ""`) }
func (b *tab) url() string  { return b.evaluate(`location.href`) }

// await waits until the tab shows every text.
func (b *tab) await(t *testing.T, texts ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the browser shows %q", texts), func() error {
		shown := b.text()
		for _, text := range texts {
			if !strings.Contains(shown, text) {
				return fmt.Errorf("it shows %s:\n%s", b.url(), shown)
			}
		}
		return nil
	})
}

// awaitURL waits until the tab is at an address.
func (b *tab) awaitURL(t *testing.T, url string) {
	t.Helper()
	eventually(t, "the browser is at "+url, func() error {
		if at := b.url(); at != url {
			return fmt.Errorf("it is at %s:\n%s", at, b.text())
		}
		return nil
	})
}

func (b *tab) click(t *testing.T, selector string) {
	t.Helper()
	b.do(t, chromedp.Click(chromedp.CSS(selector)))
}

// clickToNewTab clicks and returns the tab that opens.
func (b *tab) clickToNewTab(t *testing.T, selector string) *tab {
	t.Helper()
	opened := chromedp.WaitNewTarget(b.ctx, func(i *target.Info) bool { return i.Type == "page" })
	b.click(t, selector)
	select {
	case id := <-opened:
		ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(id))
		t.Cleanup(cancel)
		return newTab(t, ctx)
	case <-time.After(patience):
		t.Fatalf("no new tab after a click on %s", selector)
		return nil
	}
}

// enterPIN types a PIN on the agent's page.
func (b *tab) enterPIN(t *testing.T, pin string) {
	t.Helper()
	b.await(t, "Saisissez votre code porteur")
	b.do(t, chromedp.SendKeys(chromedp.CSS("#pin"), pin), chromedp.Click(chromedp.CSS("form[action$='/pin'] button")))
}

// back goes back in the history, as the person's button does, and waits until the tab is there: until then it shows the page before. At the
// beginning of the history it does nothing.
func (b *tab) back(t *testing.T) {
	t.Helper()
	var before int64
	var first bool
	eventually(t, "the tab has a history", func() (err error) { before, first, err = b.entry(); return err })
	if first {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	// The page that is gone back to may redirect at once, which aborts the navigation that this waits for.
	// Or it takes the place of the page before that one has answered.
	err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`history.back()`))
	if err != nil && !errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "navigated or closed") {
		t.Fatalf("go back: %v", err)
	}
	eventually(t, "the tab goes back", func() error {
		now, _, err := b.entry()
		if err == nil && now == before {
			err = fmt.Errorf("it is at %s:\n%s", b.url(), b.text())
		}
		return err
	})
}

// entry is where in its history a tab is, and whether it is at the beginning. It fails between two pages.
func (b *tab) entry() (id int64, first bool, err error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	h, err := chromedp.Call(ctx, page.GetNavigationHistory, cdp.Empty{})
	if err != nil {
		return 0, false, err
	}
	return h.Entries[h.CurrentIndex].ID, h.CurrentIndex == 0, nil
}

// screenshot keeps a picture for whoever wants to look, in the directory that AUTHGW_E2E_SCREENS names.
func (b *tab) screenshot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("AUTHGW_E2E_SCREENS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}
