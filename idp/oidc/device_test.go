package oidc_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// withDevices is a client with a secret, that has devices.
func withDevices(id string) *client.Client {
	c := confidential(id)
	c.RedirectURIs, c.Device = nil, true
	return c
}

// begin begins a device's login.
func (b *backend) begin(tb testing.TB, id string, scopes ...string) reply {
	tb.Helper()
	r := b.as(tb, id, "/oauth/device_authorization", "scope", strings.Join(scopes, " "))
	if r.status != http.StatusOK || len(r.word("device_code")) != token.Len {
		tb.Fatalf("device authorization = %d %s", r.status, r.text)
	}
	return r
}

// poll asks what has become of a device.
func (b *backend) poll(tb testing.TB, id, deviceCode string) reply {
	tb.Helper()
	return b.as(tb, id, "/oauth/token", "grant_type", deviceGrant, "device_code", deviceCode)
}

// approve writes that the person of a session has approved a device.
func (b *backend) approve(tb testing.TB, id string, v store.Session, deviceCode string, scopes ...string) {
	tb.Helper()
	hash, _ := token.Of(token.Device, deviceCode)
	body, err := json.Marshal(map[string]any{
		"scopes": scopes, "sub": v.Account.Subject, "account": v.Account.Subject, "acr": v.ACR, "amr": v.AMR, "auth_time": v.AuthTime.Unix(), "sid": v.ID,
	})
	if err != nil {
		tb.Fatal(err)
	}
	g := store.Grant{ID: "g-" + token.New(), Client: id, Session: v.ID, SID: v.ID, Body: body, Created: b.now(), Expires: v.ExpiresAt}
	if err := b.store.ApproveDevice(tb.Context(), hash, g, b.now()); err != nil {
		tb.Fatal(err)
	}
}

// RFC 8628, section 3.2: what a device is told. Section 6.1: a code that is easy to type and says nothing; the database has it as a keyed hash.
func TestDeviceIsGivenItsCodes(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	b.add(withDevices("screen"))
	form, seen := regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`), map[string]bool{}
	for range 50 {
		r := b.begin(t, "screen", "openid", "profile")
		code := r.word("user_code")
		if !form.MatchString(code) || seen[code] {
			t.Errorf("user code %q: want eight letters, other ones each time", code)
		}
		seen[code] = true
		if r.json["expires_in"] != 600.0 || r.json["interval"] != 5.0 || r.word("verification_uri") != b.issuer+"/device" ||
			r.word("verification_uri_complete") != b.issuer+"/device?user_code="+code || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("answer %s", r.text)
		}
		hash, _ := token.Of(token.Device, r.word("device_code"))
		d, err := b.store.WaitingDevice(t.Context(), hash, b.now())
		if err != nil || strings.Contains(d.UserCode, code[:4]) || len(d.UserCode) < 43 || !slices.Equal(d.Scopes, []string{"openid", "profile"}) {
			t.Errorf("row %+v, %v", d, err)
		}
	}
}

// F16: a client has devices only where it is allowed to, and asks for what it may.
func TestF16DevicesAreForClientsThatHaveThem(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	b.add(withDevices("screen"))
	b.as(t, "agenda", "/oauth/device_authorization", "scope", "openid").wantDenied(t, "a client without devices", http.StatusBadRequest, "unauthorized_client")
	b.poll(t, "agenda", token.New()).wantDenied(t, "its question", http.StatusBadRequest, "unauthorized_client")
	b.as(t, "screen", "/oauth/device_authorization").wantDenied(t, "no scope", http.StatusBadRequest, "invalid_scope")
	b.as(t, "screen", "/oauth/device_authorization", "scope", "profile").wantDenied(t, "no openid", http.StatusBadRequest, "invalid_scope")
	b.as(t, "screen", "/oauth/device_authorization", "scope", "openid", "client_secret", secretOf("agenda")).
		wantDenied(t, "another's secret", http.StatusUnauthorized, "invalid_client")
	b.as(t, "screen", "/oauth/token", "grant_type", deviceGrant).wantDenied(t, "no device code", http.StatusBadRequest, "invalid_request")

	code := b.begin(t, "screen", "openid").word("device_code")
	b.approve(t, "screen", b.session(t, "s1"), code, "openid")
	none := withDevices("screen")
	none.Device = false
	b.add(none)
	b.poll(t, "screen", code).wantDenied(t, "a client that may no more", http.StatusBadRequest, "unauthorized_client")
	b.exchange(t, "agenda", code).wantDenied(t, "a device code as a code", http.StatusBadRequest, "invalid_grant")
	b.refresh(t, "agenda", code).wantDenied(t, "a device code as a refresh token", http.StatusBadRequest, "invalid_grant")
}

// F3, F16: a device code is good for the client that began, whole, once somebody has approved it, for ten minutes, once, while the session is open; and
// whoever has it too ends what it gave.
func TestF3F16ADeviceCodeIsBoundToItsClient(t *testing.T) {
	eachEngine(t, func(t *testing.T, database string) {
		b := newBackend(t, database, nil)
		b.add(withDevices("screen"))
		b.add(withDevices("other"))
		v := b.session(t, "s1")
		scopes := []string{"openid", "profile", "offline_access"}
		began := func() string { return b.begin(t, "screen", scopes...).word("device_code") }
		want := func(what, code, denial string) {
			t.Helper()
			b.poll(t, "screen", code).wantDenied(t, what, http.StatusBadRequest, denial)
		}

		code := began()
		want("before anybody has decided", code, "authorization_pending")
		b.advance(5 * time.Second)
		want("five seconds later", code, "authorization_pending")
		b.advance(2 * time.Second)
		want("too soon", code, "slow_down")
		b.advance(5 * time.Second)
		want("as soon as before", code, "slow_down")
		b.advance(15 * time.Second)
		want("as slowly as it was told", code, "authorization_pending")
		b.poll(t, "other", code).wantDenied(t, "another client (Zitadel CVE-2026-55672)", http.StatusBadRequest, "invalid_grant")
		want("a truncated one (E8)", code[:42], "invalid_grant")
		want("an unknown one", token.New(), "invalid_grant")

		b.approve(t, "screen", v, code, scopes...)
		b.poll(t, "other", code).wantDenied(t, "another client, once it is approved", http.StatusBadRequest, "invalid_grant")
		got := b.poll(t, "screen", code).wantTokens(t, "the device")
		access, refresh := got.word("access_token"), got.word("refresh_token")
		if got.word("id_token") == "" || got.word("scope") != "openid profile offline_access" {
			t.Errorf("answer %s", got.text)
		}
		if me := b.me(t, access); me.word("sub") != v.Account.Subject || me.word("name") == "" {
			t.Errorf("userinfo = %s", me.text)
		}
		b.refresh(t, "other", refresh).wantDenied(t, "another client's refresh", http.StatusBadRequest, "invalid_grant")
		refresh = b.refresh(t, "screen", refresh).wantTokens(t, "its refresh").word("refresh_token")
		b.poll(t, "other", code).wantDenied(t, "replayed by another client", http.StatusBadRequest, "invalid_grant")
		if !b.active(t, "screen", access) {
			t.Error("another client has ended the family")
		}
		want("a second time", code, "invalid_grant")
		if b.active(t, "screen", access) || b.active(t, "screen", refresh) {
			t.Error("the tokens are good after a replay")
		}
		if got := b.reasons(t, audit.GrantEnded); !slices.Equal(got, []string{"device_code_replayed"}) {
			t.Errorf("audited ends = %q, want one for the replay", got)
		}

		late := began()
		b.advance(10 * time.Minute)
		want("after ten minutes", late, "expired_token")

		refused := began()
		hash, _ := token.Of(token.Device, refused)
		if err := b.store.RefuseDevice(t.Context(), hash, b.now()); err != nil {
			t.Fatal(err)
		}
		want("refused", refused, "access_denied")

		over, fetched := began(), began()
		b.approve(t, "screen", v, over, scopes...)
		b.approve(t, "screen", v, fetched, scopes...)
		got = b.poll(t, "screen", fetched).wantTokens(t, "one more device")
		if err := b.store.EndSession(t.Context(), v.ID, "logout", b.now()); err != nil {
			t.Fatal(err)
		}
		want("approved in a session that is over", over, "invalid_grant")
		eventually(t, "the device is signed out with the person (E3)", func() bool { return !b.active(t, "screen", got.word("access_token")) })
		b.refresh(t, "screen", got.word("refresh_token")).wantDenied(t, "its refresh token", http.StatusBadRequest, "invalid_grant")
		for _, reason := range b.reasons(t, audit.ClientRefused) {
			if reason == "authorization_pending" || reason == "slow_down" {
				t.Errorf("the audit has %s, which is no refusal", reason)
			}
		}
	})
}

// F3: of many questions of one device at once, at two gateways, one gets tokens. The others have shown that the code is known to somebody else too.
func TestF3OneOfManyQuestionsOfADeviceAtOnceWins(t *testing.T) {
	eachEngine(t, func(t *testing.T, database string) {
		first := newBackend(t, database, nil)
		first.add(withDevices("screen"))
		all := []*backend{first, newBackend(t, database, first)}
		code := first.begin(t, "screen", "openid", "offline_access").word("device_code")
		first.approve(t, "screen", first.session(t, "s1"), code, "openid", "offline_access")
		const n = 20
		begin := make(chan struct{})
		replies := make([]reply, n)
		var wait sync.WaitGroup
		for i := range n {
			wait.Go(func() {
				<-begin
				replies[i] = all[i%2].poll(t, "screen", code)
			})
		}
		close(begin)
		wait.Wait()
		var won []reply
		for _, r := range replies {
			if r.status == http.StatusOK {
				won = append(won, r)
			} else {
				r.wantDenied(t, "who lost", http.StatusBadRequest, "invalid_grant")
			}
		}
		if len(won) != 1 {
			t.Fatalf("%d questions won, want 1", len(won))
		}
		for _, name := range []string{"access_token", "refresh_token"} {
			if first.active(t, "screen", won[0].word(name)) {
				t.Errorf("the %s that the winner got is good after the others", name)
			}
		}
	})
}
