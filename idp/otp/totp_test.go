package otp_test

import (
	"html"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/idp/otp"
	"promess/authgw/internal/store"
)

// RFC 6238, appendix B: SHA-1, the seed "12345678901234567890", the last six of the eight digits that are given there.
func TestStepsOfTheStandard(t *testing.T) {
	seed := []byte("12345678901234567890")
	for at, code := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		step, ok, err := otp.TOTPStep(seed, code, time.Unix(at, 0))
		if err != nil || !ok || step != at/30 {
			t.Errorf("at %d: step %d, %t, %v, want %d", at, step, ok, err, at/30)
		}
	}
}

// D3: a clock may be off by one step, before or after, and no more.
func TestD3DriftOfOneStep(t *testing.T) {
	for name, tt := range map[string]struct {
		off  time.Duration
		want bool
	}{
		"right": {0, true}, "one behind": {-30 * time.Second, true}, "one ahead": {30 * time.Second, true},
		"two behind": {-60 * time.Second, false}, "two ahead": {60 * time.Second, false}, "a year ahead": {365 * 24 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := enrolled(t)
			k := w.addApp(t, "")
			w.advance(5 * time.Minute)
			b := w.first(t)
			p := b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now().Add(tt.off)))
			b.wantSignedIn(tt.want)
			if !tt.want {
				p.want(t, http.StatusUnprocessableEntity, textWrongCode)
				w.wantRefusal(t, "wrong_code")
			}
		})
	}
}

// D3: RFC 6238, section 5.2: "The verifier MUST NOT accept the second attempt of the OTP after the successful validation has been issued
// for the first OTP". Nor that of a step before it.
func TestD3StepIsUsedOnce(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	before, code := oathtool(t, k, w.now().Add(-30*time.Second)), oathtool(t, k, w.now())
	w.first(t).post("/login/otp/code/totp", "code", code).wantTo(t, "/")
	b := w.first(t)
	b.post("/login/otp/code/totp", "code", code).want(t, http.StatusUnprocessableEntity, textWrongCode)
	b.post("/login/otp/code/totp", "code", before).want(t, http.StatusUnprocessableEntity, textWrongCode)
	b.wantSignedIn(false)
	w.advance(30 * time.Second)
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
}

// D3: the code that has confirmed an app, which somebody may have seen on its screen, opens nothing, in its own step and in the next.
func TestD3CodeThatConfirmedTheAppOpensNothing(t *testing.T) {
	w := enrolled(t)
	b := w.browser(t)
	b.byCard()
	k, pending := key(t, b.get("/account/totp"))
	code := oathtool(t, k, w.now())
	b.post("/account/totp", "pending", pending, "code", code).wantTo(t, "/account?done=factor_added")
	for range 2 {
		w.first(t).post("/login/otp/code/totp", "code", code).want(t, http.StatusUnprocessableEntity, textWrongCode)
		w.advance(30 * time.Second)
	}
	w.first(t).post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
}

// D3: of two browsers that give one code at once, one gets in.
func TestD3OneCodeAtOnceOpensOneSession(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	code := oathtool(t, k, w.now())
	var all []*browser
	for range 4 {
		all = append(all, w.first(t))
	}
	var group sync.WaitGroup
	for _, b := range all {
		group.Go(func() { b.post("/login/otp/code/totp", "code", code) })
	}
	group.Wait()
	in := 0
	for _, b := range all {
		if _, ok := b.session(); ok {
			in++
		}
	}
	if in != 1 {
		t.Errorf("%d sessions, want 1", in)
	}
}

// D3: after ten wrong codes, of whatever kind, a login begins with the password again: however patient somebody is.
func TestD3LoginHasTenTries(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	codes := w.addSheet(t)
	b := w.first(t)
	for i := range 10 {
		way, code := "totp", off(oathtool(t, k, w.now()))
		if i%2 == 1 {
			way, code = "recovery", off(codes[0])
		}
		w.forgive(t)
		p := b.post("/login/otp/code/"+way, "code", code)
		if i < 9 {
			p.want(t, http.StatusUnprocessableEntity, textWrongCode)
			continue
		}
		p.wantTo(t, "/login/otp?problem=tries")
	}
	b.get("/login/otp?problem=tries").want(t, http.StatusOK, "recommencez avec votre mot de passe")
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/login/otp?problem=over")
	b.wantSignedIn(false)
}

func TestPersonMayHaveFiveApps(t *testing.T) {
	w := enrolled(t)
	var keys []string
	for range 5 {
		keys = append(keys, w.addApp(t, ""))
	}
	b := w.browser(t)
	b.byCard()
	k, pending := key(t, b.get("/account/totp"))
	b.post("/account/totp", "pending", pending, "code", oathtool(t, k, w.now())).want(t, http.StatusConflict, "Vous avez déjà cinq applications.")
	for _, k := range keys {
		w.first(t).post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
	}
}

var svgForm = regexp.MustCompile(`(?s)<svg class="qr".*?</svg>`)

// What an app reads from the QR code is the key of the page, with what RFC 6238 leaves open said.
func TestQRCodeSaysTheKey(t *testing.T) {
	const issuer = "R&D + ProMess = 1 auth.example.test"
	w := newWorldWith(t, func(c *otp.Config) { c.Issuer = issuer })
	b := w.browser(t)
	b.byCard()
	p := b.get("/account/totp")
	k, _ := key(t, p)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "qr.svg"), []byte(svgForm.FindString(p.body)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"rsvg-convert", "--width", "600", "--output", filepath.Join(dir, "qr.png"), filepath.Join(dir, "qr.svg")}, {"zbarimg", "--quiet", "--raw", filepath.Join(dir, "qr.png")}} {
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).Output()
		if err != nil {
			t.Fatalf("%s: %v (scripts/install-test-packages installs it)", args[0], err)
		}
		if args[0] != "zbarimg" {
			continue
		}
		u, err := url.Parse(strings.TrimSpace(string(out)))
		if err != nil {
			t.Fatal(err)
		}
		want := url.Values{"secret": {k}, "issuer": {issuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}
		if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/"+issuer+":"+rpps || strings.Contains(u.RawQuery, "+") || u.Query().Encode() != want.Encode() {
			t.Errorf("the QR code says %s", u)
		}
	}
	// RFC 4226, section 4, R6: 160 bits are 32 letters and digits of base32. Each page has its own.
	if other, _ := key(t, b.get("/account/totp")); len(k) != 32 || other == k {
		t.Errorf("keys %q and %q, want two different ones of 32", k, other)
	}
}

// An app counts once its code is right; until then nothing is kept.
func TestAppIsEnrolledByItsCodeAlone(t *testing.T) {
	w := enrolled(t)
	b := w.browser(t)
	b.byCard()
	k, pending := key(t, b.get("/account/totp"))
	for _, code := range []string{"", "123", off(oathtool(t, k, w.now())), oathtool(t, k, w.now().Add(-2*time.Minute))} {
		p := b.post("/account/totp", "pending", pending, "code", code, "label", `Garde "<b>`)
		p.want(t, http.StatusUnprocessableEntity, "Ce code n’est pas le bon.", html.EscapeString(`Garde "<b>`))
		if again, _ := key(t, p); again != k {
			t.Error("a wrong code changes the key that is shown")
		}
	}
	if n := len(w.factors(t, store.TOTP)); n != 0 {
		t.Fatalf("%d apps before the right code", n)
	}
	for range 2 { // the button pressed twice
		b.post("/account/totp", "pending", pending, "code", oathtool(t, k, w.now()), "label", " Téléphone\tde   garde ").wantTo(t, "/account?done=factor_added")
	}
	all := w.factors(t, store.TOTP)
	if len(all) != 1 || all[0].Label != "Téléphone de garde" && all[0].Label != "Téléphone de   garde" || strings.Contains(all[0].Secret, k) {
		t.Errorf("apps = %d with the label %q, want one whose key is sealed", len(all), all[0].Label)
	}
}

// D3, D7: a key that waits for its code is of one session and one person: it cannot be made, read, changed or used elsewhere. An attacker
// who could plant their own key in somebody's account would have their codes.
func TestD3PendingKeyIsBoundToItsSession(t *testing.T) {
	w := enrolled(t)
	thief := w.stranger(t)
	thief.post("/login/card", "id", "810100000002").wantTo(t, "/")
	mine, planted := key(t, thief.get("/account/totp"))
	b := w.browser(t)
	b.byCard()
	_, own := key(t, b.get("/account/totp"))
	other := w.browser(t)
	other.byCard()
	_, elsewhere := key(t, other.get("/account/totp"))
	for name, pending := range map[string]string{
		"another person's": planted, "another session's": elsewhere, "changed": own[:len(own)-2] + "AA", "none": "", "made up": "1.k1." + strings.Repeat("A", 120),
		"sealed for something else": w.keys.Seal("totp", "x", []byte(mine)),
	} {
		p := b.post("/account/totp", "pending", pending, "code", oathtool(t, mine, w.now()))
		p.want(t, http.StatusUnprocessableEntity, "Voici une nouvelle clé")
		if n := len(w.factors(t, store.TOTP)); n != 0 {
			t.Fatalf("%s: an app was enrolled", name)
		}
	}
	// It is as good as the login is recent, and the next login does not make it good again.
	k, pending := key(t, b.get("/account/totp"))
	w.advance(10*time.Minute + time.Second)
	b.post("/account/totp", "pending", pending, "code", oathtool(t, k, w.now())).want(t, http.StatusOK, textRecent)
	b.post("/login/card", "id", rpps).wantTo(t, "/account/totp")
	b.post("/account/totp", "pending", pending, "code", oathtool(t, k, w.now())).want(t, http.StatusUnprocessableEntity, "Voici une nouvelle clé")
}

// A key that was taken out of use in front is still good, and seeds leave it as their apps are used.
func TestSeedIsSealedWithTheNewestKey(t *testing.T) {
	old := sealKey("k1")
	w := newWorldWith(t, func(c *otp.Config) { c.Keys = parseKeys(t, old) })
	w.setPassword(t)
	k := w.addApp(t, "")
	w.config.Keys = parseKeys(t, sealKey("k2")+old)
	w.serve(t)
	before := w.factors(t, store.TOTP)[0]
	w.first(t).post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
	after := w.factors(t, store.TOTP)[0]
	if !strings.HasPrefix(before.Secret, "1.k1.") || !strings.HasPrefix(after.Secret, "1.k2.") || after.Counter != w.now().Unix()/30 {
		t.Errorf("sealed %.5s, then %.5s with step %d", before.Secret, after.Secret, after.Counter)
	}
	w.advance(time.Minute)
	w.first(t).post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
}

// A seed that cannot be opened, since its key was taken out too early, is no reason to refuse the person's other app; alone, it is a fault of
// ours and not a wrong code.
func TestSeedThatCannotBeOpened(t *testing.T) {
	w := enrolled(t)
	lost := store.Factor{
		ID: "lost", Subject: w.account(t).Subject, Kind: store.TOTP, ACR: idp.ACRTwoFactor, Secret: "1.gone.AAAA", Created: w.now().Add(-time.Hour),
	}
	if ok, err := w.store.AddFactor(t.Context(), lost, nil, 5); !ok || err != nil {
		t.Fatalf("AddFactor = %t, %v", ok, err)
	}
	b := w.first(t)
	b.post("/login/otp/code/totp", "code", "000000").want(t, http.StatusServiceUnavailable)
	b.wantSignedIn(false)
	if log := w.log.String(); !strings.Contains(log, "lost") {
		t.Error("the log does not name the factor")
	}

	key := w.addApp(t, "another")
	right := oathtool(t, key, w.now())
	b = w.first(t)
	b.post("/login/otp/code/totp", "code", other(right)).want(t, http.StatusUnprocessableEntity) // a guess, which counts (D3)
	b.post("/login/otp/code/totp", "code", right).wantTo(t, "/")
	b.wantSignedIn(true)
}

// other is a code that differs in its first digit.
func other(code string) string { return string('0'+(code[0]-'0'+1)%10) + code[1:] }
