package otp

import (
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"promess/authgw/internal/store"
)

// What apps expect of a key that says nothing else (RFC 6238, with the defaults of RFC 4226).
const (
	totpDigits  = 6
	totpPeriod  = 30 // seconds
	totpSeed    = 20 // bytes. RFC 4226, section 4, R6: "the length of the shared secret … RECOMMENDed … 160 bits"
	totpDrift   = 1  // steps that a clock may be off. RFC 6238, section 5.2
	totpMost    = 5  // apps of a person
	totpPurpose = "totp"
)

var base32Seed = base32.StdEncoding.WithPadding(base32.NoPadding)

// stepOf is the time step of a moment: RFC 6238, section 4.2, T = (Current Unix time - T0) / X.
func stepOf(t time.Time) int64 { return t.Unix() / totpPeriod }

// totpStep returns the step whose code it is, of those that a clock may show now; false for none.
func totpStep(seed []byte, code string, now time.Time) (step int64, ok bool, err error) {
	text := base32Seed.EncodeToString(seed)
	for s := stepOf(now) - totpDrift; s <= stepOf(now)+totpDrift; s++ {
		right, err := hotp.ValidateCustom(code, uint64(s), text, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, false, errors.New("the seed or the code is malformed") // not err, which may repeat it
		}
		if right {
			step, ok = s, true // no early end: which step it was shows in no time
		}
	}
	return step, ok, nil
}

// keyURI is what the QR code says to an app (the format of Google Authenticator, which all follow). Issuer and account are in it twice, as
// that asks.
func keyURI(issuer, account string, seed []byte) string {
	v := url.Values{
		"secret": {base32Seed.EncodeToString(seed)}, "issuer": {issuer}, "algorithm": {"SHA1"}, "digits": {fmt.Sprint(totpDigits)},
		"period": {fmt.Sprint(totpPeriod)},
	}
	query := ""
	for _, key := range []string{"secret", "issuer", "algorithm", "digits", "period"} {
		query += "&" + key + "=" + strings.ReplaceAll(url.QueryEscape(v.Get(key)), "+", "%20") // some apps show a plus for a space
	}
	return "otpauth://totp/" + url.PathEscape(issuer) + ":" + url.PathEscape(account) + "?" + query[1:]
}

// proveTOTP looks for the apps that show a code: two may show the same six digits. A step is good once for each app, and none before it any
// more (RFC 6238, section 5.2; D3).
func (m *Method) proveTOTP(r *http.Request, c running, code string) (proofs []proof, unread error) {
	s := m.Server
	compared := false
	for _, f := range c.factors {
		if f.Kind != store.TOTP {
			continue
		}
		seed, err := m.Keys.Open(totpPurpose, f.ID, f.Secret)
		if err != nil { // the person's other apps are as good as ever
			unread = fmt.Errorf("open seed %s: %w", f.ID, err)
			s.Log.Error("seed not opened: was an old key taken out of seal_keys too early?", "subject", f.Subject, "factor", f.ID)
			continue
		}
		compared = true
		step, ok, err := totpStep(seed, code, s.Now())
		if err != nil {
			return nil, err
		}
		if ok {
			m.reseal(r, f, seed)
			proofs = append(proofs, proof{f.ACR, store.FactorStep{ID: f.ID, Counter: step}})
		}
	}
	switch {
	case len(proofs) > 0:
		return proofs, nil
	case !compared && unread != nil:
		return nil, unread // nobody guessed, and nobody is told that they did
	}
	return nil, store.ErrNotFound // what was compared with one app is a guess, and counts
}

// reseal seals a seed with the newest key. If it does not come to it, the next login will.
func (m *Method) reseal(r *http.Request, f store.Factor, seed []byte) {
	if !m.Keys.Stale(f.Secret) {
		return
	}
	err := m.Server.Store.ResealFactor(r.Context(), f, m.Keys.Seal(totpPurpose, f.ID, seed))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		m.Server.Log.Warn("seed not sealed anew", "subject", f.Subject, "error", err)
	}
}
