package oidc_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// F3, E8: a code is good for the client that it was given to, with its redirect URI and its verifier, whole, once, for a minute, while the
// session is open.
func TestF3ACodeIsBoundToItsRequest(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	v := b.session(t, "s1")
	open := url.Values{
		"grant_type": {"authorization_code"}, "redirect_uri": {callback}, "code_verifier": {verifier},
		"client_id": {"agenda"}, "client_secret": {secretOf("agenda")},
	}
	for name, tt := range map[string]struct {
		change func(form url.Values)
		code   string
	}{
		"another client's (Zitadel CVE-2026-55672)": {func(f url.Values) { f.Set("client_id", "dossier"); f.Set("client_secret", secretOf("dossier")) }, "invalid_grant"},
		"another redirect URI":                      {func(f url.Values) { f.Set("redirect_uri", callback+"/") }, "invalid_grant"},
		"no redirect URI":                           {func(f url.Values) { f.Del("redirect_uri") }, "invalid_grant"},
		"another verifier":                          {func(f url.Values) { f.Set("code_verifier", strings.Repeat("a", 43)) }, "invalid_grant"},
		"the challenge as the verifier":             {func(f url.Values) { f.Set("code_verifier", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM") }, "invalid_grant"},
		"no verifier (F4)":                          {func(f url.Values) { f.Del("code_verifier") }, "invalid_request"},
		"a short verifier":                          {func(f url.Values) { f.Set("code_verifier", verifier[:42]) }, "invalid_request"},
		"a verifier of other characters":            {func(f url.Values) { f.Set("code_verifier", verifier+"=") }, "invalid_request"},
		"no code":                                   {func(f url.Values) { f.Del("code") }, "invalid_request"},
		"a truncated code (E8)":                     {func(f url.Values) { f.Set("code", f.Get("code")[:42]) }, "invalid_grant"},
		"a longer code":                             {func(f url.Values) { f.Set("code", f.Get("code")+"A") }, "invalid_grant"},
		"an unknown code":                           {func(f url.Values) { f.Set("code", token.New()) }, "invalid_grant"},
		"another grant type (F16)":                  {func(f url.Values) { f.Set("grant_type", "client_credentials") }, "unsupported_grant_type"},
		"token exchange (F16)":                      {func(f url.Values) { f.Set("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange") }, "unsupported_grant_type"},
		"a password (F16)":                          {func(f url.Values) { f.Set("grant_type", "password") }, "unsupported_grant_type"},
		"an assertion as a grant (F16)":             {func(f url.Values) { f.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer") }, "unsupported_grant_type"},
		"the code as a refresh token":               {func(f url.Values) { f.Set("grant_type", "refresh_token"); f.Set("refresh_token", f.Get("code")) }, "invalid_grant"},
		"no grant type":                             {func(f url.Values) { f.Del("grant_type") }, "invalid_request"},
		"two codes":                                 {func(f url.Values) { f.Add("code", f.Get("code")) }, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			code := b.code(t, "agenda", v, "openid")
			form := url.Values{}
			for k, all := range open {
				form[k] = slices.Clone(all)
			}
			form.Set("code", code)
			tt.change(form)
			b.post(t, "/oauth/token", form).wantDenied(t, name, http.StatusBadRequest, tt.code)
			b.exchange(t, "agenda", code).wantTokens(t, "the code afterwards, as it should be")
		})
	}
	t.Run("late", func(t *testing.T) {
		code := b.code(t, "agenda", v, "openid")
		b.advance(time.Minute)
		b.exchange(t, "agenda", code).wantDenied(t, "a late code", http.StatusBadRequest, "invalid_grant")
	})
	t.Run("after the session", func(t *testing.T) {
		code := b.code(t, "agenda", v, "openid")
		if err := b.store.EndSession(t.Context(), v.ID, "logout", b.now()); err != nil {
			t.Fatal(err)
		}
		b.exchange(t, "agenda", code).wantDenied(t, "the code of a session that is over", http.StatusBadRequest, "invalid_grant")
	})
	t.Run("after the session's idle time", func(t *testing.T) {
		idle := b.session(t, "s2")
		b.advance(30 * time.Minute)
		code := b.code(t, "agenda", idle, "openid")
		b.exchange(t, "agenda", code).wantDenied(t, "the code of an idle session", http.StatusBadRequest, "invalid_grant")
	})
	t.Run("of a client that has no redirect URI any more (F16)", func(t *testing.T) {
		c := *confidential("dossier")
		c.RedirectURIs = nil
		code := b.code(t, "dossier", b.session(t, "s3"), "openid")
		b.add(&c)
		b.exchange(t, "dossier", code).wantDenied(t, "its code", http.StatusBadRequest, "unauthorized_client")
	})
}

// F3: of many exchanges of one code at once, at two gateways, one gets tokens. The others have shown that the code is known to somebody else
// too, so what it got ends (RFC 6749, section 4.1.2).
func TestF3OneOfManyExchangesAtOnceWins(t *testing.T) {
	eachEngine(t, func(t *testing.T, database string) {
		first := newBackend(t, database, nil)
		all := []*backend{first, newBackend(t, database, first)}
		for round := range 3 {
			code := first.code(t, "agenda", first.session(t, "s"+string(rune('1'+round))), "openid", "offline_access")
			const n = 20
			begin, replies := make(chan struct{}), make(chan reply, n)
			for i := range n {
				go func() {
					<-begin
					replies <- all[i%2].exchange(t, "agenda", code)
				}()
			}
			close(begin)
			var won []reply
			for range n {
				if r := <-replies; r.status == http.StatusOK {
					won = append(won, r)
				} else {
					r.wantDenied(t, "who lost", http.StatusBadRequest, "invalid_grant")
				}
			}
			if len(won) != 1 {
				t.Fatalf("%d exchanges won, want 1", len(won))
			}
			for _, name := range []string{"access_token", "refresh_token"} {
				if first.active(t, "agenda", won[0].word(name)) {
					t.Errorf("the %s that the winner got is good after the replays", name)
				}
			}
		}
	})
}

// F3: a code that comes a second time ends what the first time gave, at each gateway before two seconds are over (E3).
func TestF3AReplayedCodeEndsTheFamilyEverywhere(t *testing.T) {
	eachEngine(t, func(t *testing.T, database string) {
		a := newBackend(t, database, nil)
		c := newBackend(t, database, a)
		v := a.session(t, "s1")
		code := a.code(t, "agenda", v, "openid", "offline_access")
		got := a.exchange(t, "agenda", code).wantTokens(t, "the first time")
		other := a.exchange(t, "agenda", a.code(t, "agenda", v, "openid")).wantTokens(t, "another grant").word("access_token")
		access, refresh := got.word("access_token"), got.word("refresh_token")
		if !a.active(t, "agenda", access) || !c.active(t, "agenda", access) {
			t.Fatal("the access token is not good")
		}
		a.exchange(t, "dossier", code).wantDenied(t, "replayed by another client", http.StatusBadRequest, "invalid_grant")
		if !a.active(t, "agenda", access) {
			t.Error("another client has ended the family")
		}
		a.exchange(t, "agenda", code).wantDenied(t, "the second time", http.StatusBadRequest, "invalid_grant")
		if a.active(t, "agenda", access) {
			t.Error("the access token is good after the replay, at the gateway that saw it")
		}
		eventually(t, "the other gateway has heard", func() bool { return !c.active(t, "agenda", access) })
		c.refresh(t, "agenda", refresh).wantDenied(t, "the refresh token", http.StatusBadRequest, "invalid_grant")
		if r := c.me(t, access); r.status != http.StatusUnauthorized {
			t.Errorf("userinfo = %d, want 401", r.status)
		}
		if !c.active(t, "agenda", other) {
			t.Error("what another code gave has ended too")
		}
		if got := a.reasons(t, audit.GrantEnded); !slices.Equal(got, []string{"code_replayed"}) {
			t.Errorf("audited ends = %q, want one for the replay", got)
		}
	})
}

// F3: a refresh token is its client's, good once, and its reuse ends the family; an answer that was lost may be asked for again.
func TestF3RefreshTokensRotate(t *testing.T) {
	eachEngine(t, func(t *testing.T, database string) {
		b := newBackend(t, database, nil)
		v := b.session(t, "s1")
		begin := func() reply {
			return b.exchange(t, "agenda", b.code(t, "agenda", v, "openid", "profile", "offline_access")).wantTokens(t, "exchange")
		}
		r1 := begin().word("refresh_token")
		b.refresh(t, "dossier", r1).wantDenied(t, "another client", http.StatusBadRequest, "invalid_grant")
		b.refresh(t, "agenda", r1[:42]).wantDenied(t, "a truncated one (E8)", http.StatusBadRequest, "invalid_grant")
		two := b.refresh(t, "agenda", r1).wantTokens(t, "refresh")
		three := b.refresh(t, "agenda", r1).wantTokens(t, "refresh again, since the answer was lost")
		if b.active(t, "agenda", two.word("refresh_token")) {
			t.Error("the refresh token of the lost answer is good")
		}
		four := b.refresh(t, "agenda", three.word("refresh_token")).wantTokens(t, "refresh with the one of the second answer")
		b.refresh(t, "agenda", r1).wantDenied(t, "the first once more", http.StatusBadRequest, "invalid_grant")
		if b.active(t, "agenda", four.word("access_token")) || b.active(t, "agenda", four.word("refresh_token")) {
			t.Error("the family goes on after a reuse")
		}

		first := begin()
		second := b.refresh(t, "agenda", first.word("refresh_token")).wantTokens(t, "refresh")
		b.advance(11 * time.Second)
		b.refresh(t, "agenda", first.word("refresh_token")).wantDenied(t, "the same 11 seconds later", http.StatusBadRequest, "invalid_grant")
		b.refresh(t, "agenda", second.word("refresh_token")).wantDenied(t, "what followed it", http.StatusBadRequest, "invalid_grant")
		if got := b.reasons(t, audit.GrantEnded); !slices.Equal(got, []string{"refresh_reused", "refresh_reused"}) {
			t.Errorf("audited ends = %q, want both reuses", got)
		}

		idle := begin()
		b.advance(29 * time.Minute)
		kept := b.refresh(t, "agenda", idle.word("refresh_token")).wantTokens(t, "after 29 minutes, which counts as activity")
		b.advance(29 * time.Minute)
		kept = b.refresh(t, "agenda", kept.word("refresh_token")).wantTokens(t, "after 29 minutes more")
		b.advance(31 * time.Minute)
		b.refresh(t, "agenda", kept.word("refresh_token")).wantDenied(t, "after 31 idle minutes (E9)", http.StatusBadRequest, "invalid_grant")
	})
}

// E9: nothing that a client has outlives the session's absolute end.
func TestE9TokensEndWithTheSession(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	v := b.session(t, "s1")
	got := b.exchange(t, "agenda", b.code(t, "agenda", v, "openid", "offline_access")).wantTokens(t, "exchange")
	for range 9 {
		b.advance(25 * time.Minute)
		got = b.refresh(t, "agenda", got.word("refresh_token")).wantTokens(t, "refresh")
	}
	b.advance(14 * time.Minute) // 3 h 59 min
	last := b.refresh(t, "agenda", got.word("refresh_token")).wantTokens(t, "the last minute")
	if left, _ := last.json["expires_in"].(float64); left > 60 || left < 50 {
		t.Errorf("expires_in = %v in the session's last minute, want no more than is left of it", left)
	}
	b.advance(time.Minute)
	b.refresh(t, "agenda", last.word("refresh_token")).wantDenied(t, "after the end", http.StatusBadRequest, "invalid_grant")
	if b.active(t, "agenda", last.word("access_token")) || b.me(t, last.word("access_token")).status != http.StatusUnauthorized {
		t.Error("the access token is good after the end")
	}
}

// What a refresh asks for is at most what there is; the next may ask for all of it again (RFC 6749, section 6).
func TestARefreshMayAskForLess(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	got := b.exchange(t, "agenda", b.code(t, "agenda", b.session(t, "s1"), "openid", "profile", "offline_access")).wantTokens(t, "exchange")
	refresh := func(fields ...string) reply {
		t.Helper()
		r := b.refresh(t, "agenda", got.word("refresh_token"), fields...).wantTokens(t, "refresh")
		got = r
		return r
	}
	b.refresh(t, "agenda", got.word("refresh_token"), "scope", "openid email").wantDenied(t, "more than was given", http.StatusBadRequest, "invalid_scope")
	less := refresh("scope", "openid")
	if less.word("scope") != "openid" {
		t.Errorf("scope = %q, want openid", less.word("scope"))
	}
	if me := b.me(t, less.word("access_token")); me.status != 200 || me.json["name"] != nil || me.word("sub") != "u-s1" {
		t.Errorf("userinfo with less = %d %s, want the sub and no name (F12)", me.status, me.text)
	}
	all := refresh()
	if all.word("scope") != "openid profile offline_access" {
		t.Errorf("scope = %q, want all of it", all.word("scope"))
	}
	if me := b.me(t, all.word("access_token")); me.word("family_name") != "MARTIN" {
		t.Errorf("userinfo = %s, want the name", me.text)
	}
	none := refresh("scope", "profile")
	if none.word("id_token") != "" {
		t.Error("an ID token was given without openid")
	}
	if me := b.me(t, none.word("access_token")); me.status != http.StatusForbidden || !strings.Contains(me.header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
		t.Errorf("userinfo without openid = %d %q", me.status, me.header.Get("WWW-Authenticate"))
	}

	// F16: what the client may ask for less since, it does not get by a refresh.
	c := confidential("agenda")
	c.Scopes = []string{"openid", "offline_access"}
	b.add(c)
	if r := refresh(); r.word("scope") != "openid offline_access" {
		t.Errorf("scope after the client may have less = %q", r.word("scope"))
	}
	c = confidential("agenda")
	c.Refresh = false
	b.add(c)
	b.refresh(t, "agenda", got.word("refresh_token")).wantDenied(t, "a client that may refresh no more", http.StatusBadRequest, "unauthorized_client")
}

// E5: a rule that is made stricter holds for what was given before it, whatever made it so: the file of the configuration, and an old code, included. What
// it still admits goes on, when the session has moved on to another login too.
func TestE5AStricterRuleEndsWhatItDoesNotAdmit(t *testing.T) {
	for name, c := range map[string]struct {
		rule client.Rule
		good bool
	}{
		"the level of the login":    {client.Rule{Level: "two_factor"}, true},
		"a higher level":            {client.Rule{Level: "hardware"}, false},
		"its method":                {client.Rule{Methods: []string{"otp", "psc"}}, true},
		"another method":            {client.Rule{Methods: []string{"card"}}, false},
		"card types":                {client.Rule{CardTypes: []string{"CPS"}}, false},
		"another profession":        {client.Rule{Professions: []string{"60"}}, false},
		"another structure":         {client.Rule{Structures: []string{"10B0057881"}}, false},
		"a level that nobody knows": {client.Rule{Level: "eidas9"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			database := sqliteFile(t)
			b := newBackend(t, database, nil)
			v := b.session(t, "s1")
			v.Method, v.ACR, v.AMR = "otp", idp.ACRTwoFactor, []string{"pwd", "otp", "mfa"}
			got := b.exchange(t, "agenda", b.code(t, "agenda", v, "openid", "profile", "offline_access")).wantTokens(t, "before the rule")
			late := b.code(t, "agenda", v, "openid")

			stricter := confidential("agenda")
			stricter.Rule = c.rule
			b.add(stricter)
			next := newBackend(t, database, b) // with the new rule, as a gateway that has read its configuration again
			for _, kind := range []string{"access_token", "refresh_token"} {
				if next.active(t, "agenda", got.word(kind)) != c.good {
					t.Errorf("the %s is active: %v, want %v", kind, !c.good, c.good)
				}
			}
			me, code, again := next.me(t, got.word("access_token")), next.exchange(t, "agenda", late), next.refresh(t, "agenda", got.word("refresh_token"))
			if c.good {
				code.wantTokens(t, "the old code")
				again.wantTokens(t, "the refresh token")
			} else {
				code.wantDenied(t, "the old code", http.StatusBadRequest, "invalid_grant")
				again.wantDenied(t, "the refresh token", http.StatusBadRequest, "invalid_grant")
			}
			if (me.status == http.StatusOK) != c.good {
				t.Errorf("userinfo = %d %s, want the claims: %v", me.status, me.text, c.good)
			}
		})
	}
}

// E5, F12: what a client may ask for less, an access token of before reveals no more.
func TestE5AnAccessTokenRevealsNoMoreThanItsClientMayHave(t *testing.T) {
	database := sqliteFile(t)
	b := newBackend(t, database, nil)
	access := b.exchange(t, "agenda", b.code(t, "agenda", b.session(t, "s1"), "openid", "profile")).wantTokens(t, "exchange").word("access_token")
	if me := b.me(t, access); me.word("family_name") != "MARTIN" {
		t.Fatalf("userinfo = %s, want the name", me.text)
	}
	c := confidential("agenda")
	c.Scopes = []string{"openid"}
	b.add(c)
	if me := newBackend(t, database, b).me(t, access); me.word("sub") != "u-s1" || me.json["family_name"] != nil {
		t.Errorf("userinfo = %s, want the sub and no name", me.text)
	}
}

func TestARefreshTokenIsGivenWhereItIsAskedFor(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	v := b.session(t, "s1")
	if r := b.exchange(t, "agenda", b.code(t, "agenda", v, "openid")).wantTokens(t, "without offline_access"); r.word("refresh_token") != "" {
		t.Error("a refresh token that nobody has asked for")
	}
	c := confidential("agenda")
	c.Refresh = false
	b.add(c)
	r := b.exchange(t, "agenda", b.code(t, "agenda", v, "openid", "offline_access")).wantTokens(t, "of a client that may not")
	if r.word("refresh_token") != "" {
		t.Error("a refresh token for a client that may have none")
	}
	if left, _ := r.json["expires_in"].(float64); left < 595 || left > 600 || r.word("token_type") != "Bearer" {
		t.Errorf("answer = %s, want a Bearer token of 10 minutes", r.text)
	}
}

// E3: what a session gave ends with it at every gateway, in memory too, whoever ends it.
func TestE3TokensEndWithTheSessionEverywhere(t *testing.T) {
	eachEngine(t, func(t *testing.T, database string) {
		for name, end := range map[string]func(t *testing.T, s *store.Store, v store.Session) error{
			"sign-out": func(t *testing.T, s *store.Store, v store.Session) error {
				return s.EndSession(t.Context(), v.ID, "logout", time.Now())
			},
			"disabled account": func(t *testing.T, s *store.Store, v store.Session) error {
				_, err := s.DisableAccount(t.Context(), v.Account.Subject, time.Now())
				return err
			},
		} {
			t.Run(name, func(t *testing.T) {
				a := newBackend(t, database, nil)
				c := newBackend(t, database, a)
				v := a.session(t, "s-"+strings.Fields(name)[0])
				got := a.exchange(t, "agenda", a.code(t, "agenda", v, "openid", "offline_access")).wantTokens(t, "exchange")
				access := got.word("access_token")
				if !a.active(t, "agenda", access) || !c.active(t, "agenda", access) || c.me(t, access).status != http.StatusOK {
					t.Fatal("the access token is not good")
				}
				if err := end(t, a.store, v); err != nil {
					t.Fatal(err)
				}
				ended := time.Now()
				eventually(t, "both gateways have heard", func() bool { return !a.active(t, "agenda", access) && !c.active(t, "agenda", access) })
				t.Logf("heard after %v", time.Since(ended))
				if r := c.me(t, access); r.status != http.StatusUnauthorized {
					t.Errorf("userinfo = %d, want 401", r.status)
				}
				c.refresh(t, "agenda", got.word("refresh_token")).wantDenied(t, "refresh", http.StatusBadRequest, "invalid_grant")
			})
		}
	})
}

// F3: however many refresh with one token at once, one refresh token at most is good afterwards.
func TestF3OneRefreshTokenIsGoodAfterManyAtOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, database string) {
		a := newBackend(t, database, nil)
		all := []*backend{a, newBackend(t, database, a)}
		got := a.exchange(t, "agenda", a.code(t, "agenda", a.session(t, "s1"), "openid", "offline_access")).wantTokens(t, "exchange")
		const n = 16
		replies := make([]reply, n)
		begin := make(chan struct{})
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() {
				<-begin
				replies[i] = all[i%2].refresh(t, "agenda", got.word("refresh_token"))
			})
		}
		close(begin)
		group.Wait()
		good := 0
		for _, r := range replies {
			if r.status == http.StatusOK && a.active(t, "agenda", r.word("refresh_token")) {
				good++
			}
		}
		if good != 1 {
			t.Errorf("%d refresh tokens are good, want 1", good)
		}
	})
}

// Nothing that opens something is in the log or the audit, whatever has happened.
func TestNoTokenIsWritten(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	code := b.code(t, "agenda", b.session(t, "s1"), "openid", "offline_access")
	got := b.exchange(t, "agenda", code).wantTokens(t, "exchange")
	b.refresh(t, "dossier", got.word("refresh_token"))
	b.refresh(t, "agenda", got.word("refresh_token")+"x")
	b.me(t, got.word("access_token"))
	b.as(t, "dossier", "/oauth/revoke", "token", got.word("access_token"))
	b.exchange(t, "agenda", code)
	b.post(t, "/oauth/token", url.Values{"client_id": {"agenda"}, "client_secret": {secretOf("dossier")}})
	b.store.Close()
	b.exchange(t, "agenda", code).wantDenied(t, "without the database", http.StatusServiceUnavailable, "temporarily_unavailable")
	written := b.log.String() + b.trail.String()
	for what, text := range map[string]string{
		"code": code, "access token": got.word("access_token"), "refresh token": got.word("refresh_token"), "ID token": got.word("id_token"),
		"secret": secretOf("agenda"), "another's secret": secretOf("dossier"), "verifier": verifier, "name": "MARTIN",
	} {
		if strings.Contains(written, text) {
			t.Errorf("the %s is in the log or the audit", what)
		}
	}
	if !strings.Contains(b.trail.String(), `"client_refused"`) {
		t.Error("the refusals are not in the audit")
	}
}
