package gateway_test

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"promess/authgw/internal/testpki"
)

const square = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="8" height="8"/></svg>`

var logoOnPage = regexp.MustCompile(`src="(/logo/mail\?v=[0-9a-f]+)"`)

// C6: another image is shown without anybody telling the gateway; a file that is no image keeps the one before (A1).
func TestC6ChangedLogoComesIntoForceByItself(t *testing.T) {
	f := newFiles(t)
	f.write(t, "mail.svg", []byte(square))
	f.config.Services[0].Logo = f.path("mail.svg")
	r, hangup := f.serve(t)
	p := r.person(t, f.card(t, testpki.Card{}))
	p.logIn()
	shown := func() (path, image string) {
		t.Helper()
		_, _, body := p.visit(http.MethodGet, auth+"/")
		found := logoOnPage.FindStringSubmatch(body)
		if found == nil {
			t.Fatalf("the portal shows no logo: %.2000s", body)
		}
		_, _, image = p.visit(http.MethodGet, auth+found[1])
		return found[1], image
	}
	first, image := shown()
	if image != square {
		t.Errorf("logo = %q, want the file", image)
	}
	other := strings.Replace(square, "<rect", `<rect fill="red"`, 1)
	f.replace(t, "mail.svg", []byte(other))
	eventually(t, "reloaded", func() bool { return r.reloads() > 0 })
	second, image := shown()
	if image != other || second == first {
		t.Errorf("logo = %q at %s, want the new file at another address than before", image, second)
	}
	f.replace(t, "mail.svg", []byte("<html><script>alert(1)</script></html>"))
	hangup <- os.Interrupt
	eventually(t, "refused", func() bool { return r.refusals() > 0 })
	if path, image := shown(); image != other || path != second {
		t.Errorf("logo = %q, want the one before", image)
	}
	if want := "services[0].logo: a logo (an SVG or PNG image of at most 64 KB) expected at"; !strings.Contains(r.log.String(), want) {
		t.Errorf("the log does not say %q", want)
	}
}

func TestUnusableLogoStopsTheStart(t *testing.T) {
	f := newFiles(t)
	f.write(t, "mail.svg", []byte("garbage"))
	f.config.Services[0].Logo = f.path("mail.svg")
	g, err := f.open(t, io.Discard, io.Discard)
	if err == nil {
		g.Close()
		t.Fatal("the gateway starts")
	}
	if !strings.Contains(err.Error(), "mail.svg") {
		t.Errorf("error = %q, want the name of the file in it", err)
	}
}
