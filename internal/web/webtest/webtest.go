// Package webtest has an example of every page of internal/web, for the tests that look at them all: those of internal/web itself
// and the ones in a browser. It makes the values and draws nothing. Everything in it may be called at once.
package webtest

import (
	"time"

	"promess/authgw/internal/web"
)

// Samples returns each page at least once, with every part of it shown, by a name. The names of the agent's pages begin with "agent".
func Samples() map[string]web.Page {
	person := web.Person{Name: "Dr Jeanne Martin", Profession: "10", CardType: "CPS"}
	return map[string]web.Page{
		"login":          web.LoginPage{Service: "Messagerie", Methods: []string{"card", "otp", "passkey", "qr", "psc"}, Browser: "/login/card/browser", Notice: "expired"},
		"login psc down": web.LoginPage{Methods: []string{"card", "psc"}, Notice: "psc_unavailable", Unavailable: map[string]string{"psc": "psc_down"}},
		"login step up":  web.LoginPage{Person: &person, Service: "Prescription", Methods: []string{"card", "passkey", "psc"}, Notice: "step_level"},
		"login image":    web.LoginPage{Methods: []string{"card", "psc"}, Images: map[string]string{"psc": "/login/psc/button?v=1"}},
		"situation": web.SituationPage{Action: "/login/psc/situation", Situations: []web.Situation{
			{Value: "0", Profession: "10", Mode: "L", Structure: "CABINET M FICTIF", Place: "75009 PARIS"}, {Value: "1", Mode: "S"},
		}},
		"wait":            web.WaitPage{StatusURL: "/login/card/status", AgentURL: "authgw-agent:start/demo", RetryURL: "/login"},
		"portal":          web.PortalPage{Person: person, Services: services()},
		"portal empty":    web.PortalPage{Person: person},
		"register":        web.RegisterPage{Person: person, Action: "/account/address", Later: "/account/address/later"},
		"register wrong":  web.RegisterPage{Person: person, Action: "/account/address", Address: "jeanne.martin@hopital.mssante.example", Problem: "protected"},
		"register change": web.RegisterPage{Person: person, Change: true, Action: "/account/address", Later: "/account/address/later", Problem: "malformed", Address: "jeanne"},
		"register unsent": web.RegisterPage{Person: person, Action: "/account/address", Later: "/account/address/later", Problem: "unsent", Address: "jeanne.martin@example.fr"},
		"code":            web.RegisterCodePage{Person: person, Action: "/account/code", Resend: "/account/code/resend", Change: "/account/address", Address: "j…@example.fr", Digits: 6},
		"code wrong":      web.RegisterCodePage{Person: person, Action: "/account/code", Resend: "/account/code/resend", Change: "/account/address", Address: "j…@example.fr", Digits: 8, Problem: "wrong", Tries: 2},
		"code last":       web.RegisterCodePage{Person: person, Changing: true, Action: "/account/code", Address: "j…@example.fr", Digits: 6, Problem: "wrong", Tries: 1},
		"code resent":     web.RegisterCodePage{Person: person, Changing: true, Action: "/account/code", Resend: "/account/code/resend", Address: "j…@example.fr", Digits: 6, Problem: "resent"},
		"code too soon":   web.RegisterCodePage{Person: person, Action: "/account/code", Resend: "/account/code/resend", Address: "j…@example.fr", Digits: 6, Problem: "too_soon"},
		"registered":      web.RegisteredPage{Person: person, Facts: facts(), Continue: "https://mail.example/"},
		"account":         account(person),
		"account bare":    web.AccountPage{Person: person, Facts: facts()[:2], AddressAction: "/account/address", Enrol: []web.Enrolment{{Kind: "recovery", Path: "/account/recovery"}}, Notice: "factor_removed"},
		"account ways":    accountWays(person),
		"otp":             web.OTPPage{Action: "/login/otp/password", Back: "/login"},
		"otp wrong":       web.OTPPage{Action: "/login/otp/password", Back: "/login", Identifier: "jeanne.martin@medecin.mssante.example", Problem: "wrong"},
		"otp throttled":   web.OTPPage{Action: "/login/otp/password", Back: "/login", Identifier: "899700218896", Problem: "throttled", Wait: 5 * time.Minute},
		"otp incomplete":  web.OTPPage{Action: "/login/otp/password", Back: "/login", Problem: "incomplete"},
		"otp busy":        web.OTPPage{Action: "/login/otp/password", Back: "/login", Identifier: "jeanne.martin", Problem: "busy", Wait: 2 * time.Second},
		"otp over":        web.OTPPage{Action: "/login/otp/password", Back: "/login", Problem: "over"},
		"otp tries":       web.OTPPage{Action: "/login/otp/password", Back: "/login", Problem: "tries"},
		"otp choice":      web.OTPCodePage{Ways: otpWays(), Restart: "/login/otp"},
		"otp app":         web.OTPCodePage{Way: "totp", Ways: otpWays()[1:], Action: "/login/otp/code/totp", Digits: 6, Restart: "/login/otp", Problem: "wrong"},
		"otp mail":        web.OTPCodePage{Way: "mail", Ways: otpWays()[2:], Action: "/login/otp/code/mail", Digits: 8, Send: "/login/otp/mail", Address: "j…@example.fr", Restart: "/login/otp"},
		"otp mail sent":   web.OTPCodePage{Way: "mail", Action: "/login/otp/code/mail", Digits: 8, Send: "/login/otp/mail", Sent: true, Address: "j…@example.fr", Restart: "/login/otp", Problem: "too_soon", Wait: 25 * time.Second},
		"otp recovery":    web.OTPCodePage{Way: "recovery", Ways: otpWays()[:2], Action: "/login/otp/code/recovery", Restart: "/login/otp", Problem: "throttled", Wait: 40 * time.Second},
		"otp app shape":   web.OTPCodePage{Way: "totp", Action: "/login/otp/code/totp", Digits: 6, Restart: "/login/otp", Problem: "shape"},
		"otp mail wrong":  web.OTPCodePage{Way: "mail", Ways: otpWays()[2:], Action: "/login/otp/code/mail", Digits: 8, Send: "/login/otp/mail", Sent: true, Address: "j…@example.fr", Restart: "/login/otp", Problem: "wrong"},
		"otp mail late":   web.OTPCodePage{Way: "mail", Action: "/login/otp/code/mail", Digits: 8, Send: "/login/otp/mail", Address: "j…@example.fr", Restart: "/login/otp", Problem: "expired"},
		"otp mail unsent": web.OTPCodePage{Way: "mail", Action: "/login/otp/code/mail", Digits: 8, Send: "/login/otp/mail", Address: "j…@example.fr", Restart: "/login/otp", Problem: "unsent"},
		"otp sheet wrong": web.OTPCodePage{Way: "recovery", Action: "/login/otp/code/recovery", Restart: "/login/otp", Problem: "wrong"},
		"password":        web.PasswordPage{Person: person, Action: "/account/password", Cancel: "/account", Identifier: "899700218896", Least: 12},
		"password wrong":  web.PasswordPage{Person: person, Action: "/account/password", Cancel: "/account", Change: true, Identifier: "899700218896", Least: 12, Problem: "too_short"},
		"password other":  web.PasswordPage{Person: person, Action: "/account/password", Cancel: "/account", Identifier: "899700218896", Least: 12, Problem: "different"},
		"password long":   web.PasswordPage{Person: person, Action: "/account/password", Cancel: "/account", Identifier: "899700218896", Least: 12, Problem: "too_long"},
		"password shape":  web.PasswordPage{Person: person, Action: "/account/password", Cancel: "/account", Identifier: "899700218896", Least: 12, Problem: "malformed"},
		"password own":    web.PasswordPage{Person: person, Action: "/account/password", Cancel: "/account", Identifier: "899700218896", Least: 12, Problem: "personal"},
		"password known":  web.PasswordPage{Person: person, Action: "/account/password", Cancel: "/account", Identifier: "899700218896", Least: 12, Problem: "breached"},
		"password busy":   web.PasswordPage{Person: person, Action: "/account/password", Cancel: "/account", Identifier: "899700218896", Least: 12, Problem: "busy"},
		"otp chosen":      web.OTPPage{Action: "/login/otp/password", Back: "/login", Chosen: true},
		"invitation":      web.InvitationPage{Action: "/login/otp/invitation/x", Least: 12},
		"invitation code": web.InvitationPage{Action: "/login/otp/invitation/x", Least: 12, Problem: "wrong", Tries: 4},
		"invitation last": web.InvitationPage{Action: "/login/otp/invitation/x", Least: 12, Problem: "wrong", Tries: 1},
		"invitation form": web.InvitationPage{Action: "/login/otp/invitation/x", Least: 12, Problem: "shape"},
		"invitation weak": web.InvitationPage{Action: "/login/otp/invitation/x", Least: 12, Problem: "too_short", Code: "ACEF-3467"},
		"invitation wait": web.InvitationPage{Action: "/login/otp/invitation/x", Least: 12, Problem: "throttled", Wait: 40 * time.Second},
		"error invited":   web.ErrorPage{Code: "invitation_over", RetryURL: "/login"},
		"totp":            totp(person, ""),
		"totp wrong":      totp(person, "wrong"),
		"totp late":       totp(person, "late"),
		"totp too many":   totp(person, "too_many"),
		"recovery":        web.RecoveryPage{Person: person, Action: "/account/recovery", Done: "/account", Count: 10, Has: true, Left: 2},
		"recovery none":   web.RecoveryPage{Person: person, Action: "/account/recovery", Done: "/account", Count: 10},
		"recovery one":    web.RecoveryPage{Person: person, Action: "/account/recovery", Done: "/account", Count: 10, Has: true, Left: 1},
		"recovery again": web.RecoveryPage{
			Person: person, Action: "/account/recovery", Done: "/account", Count: 10, Has: true, Left: 10, Instead: "abcdefghijklmnopqrstuvwxyz", Problem: "changed",
		},
		"recovery codes":  web.RecoveryPage{Person: person, Done: "/account", Count: 10, Codes: []string{"34679-ACEFG", "HJKMN-PRTWX", "Y3467-9ACEF"}, Made: time.Now()},
		"error second":    web.ErrorPage{Code: "no_second_factor", Support: "K7QM2X9D", RetryURL: "/login"},
		"error passkey":   web.ErrorPage{Code: "passkey_refused", Support: "K7QM2X9D", RetryURL: "/login"},
		"error network":   web.ErrorPage{Code: "qr_network", Support: "K7QM2X9D", RetryURL: "/login"},
		"error over":      web.ErrorPage{Code: "login_unknown", Support: "K7QM2X9D", RetryURL: "/login"},
		"passkey":         web.PasskeyPage{Options: `{"challenge":"AAAA"}`, Action: "/login/passkey/finish", RetryURL: "/login"},
		"passkey add":     web.PasskeyAddPage{Person: person, Options: "/account/passkey/options", Action: "/account/passkey", Label: "Firefox 153, Linux", Problem: "failed"},
		"passkey first":   web.PasskeyAddPage{Person: person, Options: "/account/passkey/options", Action: "/account/passkey", Label: "Firefox 153, Linux"},
		"passkey full":    web.PasskeyAddPage{Person: person, Options: "/account/passkey/options", Action: "/account/passkey", Label: "Firefox 153, Linux", Problem: "full"},
		"passkey late":    web.PasskeyAddPage{Person: person, Options: "/account/passkey/options", Action: "/account/passkey", Label: "Firefox 153, Linux", Problem: "late"},
		"phone add":       web.PhoneAddPage{Person: person, Step: "begin", Begin: "/account/phone"},
		"phone add code":  web.PhoneAddPage{Person: person, Step: "shown", Code: codeAddress, Events: "/account/phone/events", Status: "/account/phone/status"},
		"phone add asks":  web.PhoneAddPage{Person: person, Step: "claimed", Confirm: "/account/phone/confirm", Events: "/account/phone/events", Status: "/account/phone/status"},
		"phone add waits": web.PhoneAddPage{Person: person, Step: "confirmed", Events: "/account/phone/events", Status: "/account/phone/status"},
		"phone add done":  web.PhoneAddPage{Person: person, Step: "done", Label: "Safari 18, iOS"},
		"phone add ended": web.PhoneAddPage{Person: person, Step: "ended", Begin: "/account/phone", Reason: "wrong_number"},
		"phone add late":  web.PhoneAddPage{Person: person, Step: "ended", Begin: "/account/phone", Reason: "expired"},
		"phone add full":  web.PhoneAddPage{Person: person, Step: "ended", Begin: "/account/phone", Reason: "full"},
		"qr":              web.QRPage{Step: "shown", Service: "Messagerie", Code: codeAddress, Finish: "/login/qr/finish", Events: "/login/qr/events", Status: "/login/qr/status", RetryURL: "/login"},
		"qr number":       web.QRPage{Step: "claimed", Service: "Messagerie", Number: "42", Finish: "/login/qr/finish", Events: "/login/qr/events", Status: "/login/qr/status", RetryURL: "/login"},
		"qr picked":       web.QRPage{Step: "picked", Finish: "/login/qr/finish", Events: "/login/qr/events", Status: "/login/qr/status", RetryURL: "/login"},
		"qr approved":     web.QRPage{Step: "approved", Finish: "/login/qr/finish", Events: "/login/qr/events", Status: "/login/qr/status", RetryURL: "/login"},
		"qr ended":        web.QRPage{Step: "ended", Begin: "/login/qr", Reason: "not_me", RetryURL: "/login"},
		"qr expired":      web.QRPage{Step: "ended", Begin: "/login/qr", Reason: "expired", RetryURL: "/login"},
		"qr wrong":        web.QRPage{Step: "ended", Begin: "/login/qr", Reason: "wrong_number", RetryURL: "/login"},
		"qr failed":       web.QRPage{Step: "ended", Begin: "/login/qr", Reason: "failed", RetryURL: "/login"},
		"qr disabled":     web.QRPage{Step: "ended", Begin: "/login/qr", Reason: "account_disabled", RetryURL: "/login"},
		"phone":           web.PhonePage{},
		"phone scan":      web.PhonePage{View: "scan"},
		"phone wait":      web.PhonePage{View: "wait"},
		"phone login":     web.PhonePage{View: "login"},
		"phone sign":      web.PhonePage{View: "sign"},
		"phone enrol":     web.PhonePage{View: "enrol"},
		"phone create":    web.PhonePage{View: "create"},
		"phone done":      web.PhonePage{View: "done"},
		"phone added":     web.PhonePage{View: "added"},
		"phone denied":    web.PhonePage{View: "denied"},
		"phone fault":     web.PhonePage{View: "fault"},
		"consent": web.ConsentPage{Person: person, Service: "Agenda", Host: "agenda.example", Action: "/oauth/consent", Request: "x", Target: "https://agenda.example/cb",
			Told: []string{"identity", "profile", "email", "national_id", "profession", "structures", "card", "situation", "psc", "offline_access"}},
		"client refused": web.ClientRefusedPage{Person: person, Service: "Agenda", Reason: "profession", Support: "7K2P-9QXR", Action: "/oauth/refuse", Request: "x", Target: "https://agenda.example/cb"},
		"refused device": web.ClientRefusedPage{Person: person, Service: "Agenda", Reason: "card_type", Support: "7K2P-9QXR"},
		"device":         web.DevicePage{Action: "/device"},
		"device wrong":   web.DevicePage{Person: &person, Action: "/device", Code: "WDJB-MJHT", Problem: "wrong"},
		"device wait":    web.DevicePage{Person: &person, Action: "/device", Problem: "throttled", Wait: 40 * time.Second},
		"device confirm": deviceConfirm(person, false),
		"device remote":  deviceConfirm(person, true),
		"device done":    web.DeviceDonePage{Person: person, Service: "Écran de garde", Outcome: "approved", Again: "/device"},
		"device refused": web.DeviceDonePage{Person: person, Service: "Écran de garde", Outcome: "refused", Again: "/device"},
		"device over":    web.DeviceDonePage{Person: person, Service: "Écran de garde", Outcome: "over", Again: "/device"},
		"return":         web.ReturnPage{Service: "Agenda", Next: "https://agenda.example/cb?code=x"},
		"form post":      web.FormPostPage{Service: "Agenda", Action: "https://agenda.example/cb", Fields: []web.Field{{Name: "code", Value: "x"}}},
		"signing out":    web.SigningOutPage{Next: "https://mail.example/.authgw/leave"},
		"signing frames": web.SigningOutPage{Frames: []string{"https://agenda.example/out?iss=x&sid=y"}},
		"logout":         web.LogoutPage{Person: person, Service: "Agenda", Action: "/oauth/end_session/confirm", Stay: "/", Fields: []web.Field{{Name: "session", Value: "x"}}},
		"logout wrong":   web.LogoutPage{Person: person, Wrong: true, Action: "/oauth/end_session/confirm", Stay: "/"},
		"logout unknown": web.LogoutPage{Person: person, Action: "/oauth/end_session/confirm", Stay: "/"},
		"signed out":     web.SignedOutPage{},
		"error":          web.ErrorPage{Code: "card_expired", Support: "K7QM2X9D", RetryURL: "/login", Person: &person},
		"error level":    web.ErrorPage{Code: "level_too_low", RetryURL: "/login", Person: &person},
		"error bare":     web.ErrorPage{Code: "not_found"},
		"agent status":   web.AgentStatusPage{Step: "dialog", Gateway: "ProMess", Origin: "https://auth.example", Holder: "Jeanne Martin", Cancel: "/cancel/x"},
		"agent pad":      web.AgentStatusPage{Step: "pad", Gateway: "ProMess", Origin: "https://auth.example", Holder: "Jeanne Martin", Cancel: "/cancel/x", Last: true, Wrong: true},
		"agent pin":      web.AgentPINPage{Gateway: "ProMess", Origin: "https://auth.example", Holder: "Jeanne Martin", Action: "/pin/x", Cancel: "/cancel/x", Min: 4, Max: 4, Last: true, Wrong: true},
		"agent choice":   web.AgentChoicePage{Gateway: "ProMess", Origin: "https://auth.example", Action: "/choice/x", Cancel: "/cancel/x", Tokens: []web.AgentToken{{Value: "1", Holder: "Jeanne Martin", Serial: "2800636234", Reader: "Reader 0"}}},
		"agent error":    web.AgentErrorPage{Code: "card_software", Detail: "CKR_DEVICE_ERROR", RetryURL: "https://auth.example/login"},
		"agent home":     web.AgentHomePage{Version: "1.2.3", Gateways: []web.AgentGateway{{Title: "ProMess", URL: "https://auth.example/"}}},
		"agent no home":  web.AgentHomePage{},
	}
}

func otpWays() []web.OTPWay {
	return []web.OTPWay{
		{Name: "totp", Path: "/login/otp/code?way=totp"}, {Name: "mail", Path: "/login/otp/code?way=mail"}, {Name: "recovery", Path: "/login/otp/code?way=recovery"},
	}
}

func totp(person web.Person, problem string) web.TOTPPage {
	return web.TOTPPage{
		Person: person, Action: "/account/totp", Cancel: "/account", Pending: "1.k1.c2VhbGVk", Key: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", Label: "Téléphone de garde",
		LabelMost: 40, Digits: 6, Problem: problem,
		URI: "otpauth://totp/ProMess:899700218896?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=ProMess",
	}
}

func deviceConfirm(person web.Person, other bool) web.DeviceConfirmPage {
	p := web.DeviceConfirmPage{
		Person: person, Service: "Écran de garde", Code: "WDJB-MJHT", Told: []string{"identity", "profile", "offline_access"}, Source: "192.0.2.17",
		Asked: time.Now().Add(-2 * time.Minute), Action: "/device/confirm", Request: "x", Session: "y",
	}
	if other {
		p.Source, p.Other = "2001:db8:85a3:8d3:1319:8a2e:370:7348", true
	}
	return p
}

// codeAddress is as long as the addresses in the QR codes are.
const codeAddress = "https://auth.hopital.example/phone#l.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.1.k1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func services() []web.PortalService {
	return []web.PortalService{
		{Name: "mail", Title: "Messagerie", Description: "Boîte aux lettres sécurisée", URL: "https://mail.example/", Logo: "/logos/mail.svg"},
		{Name: "agenda", Title: "Agenda partagé", Description: "Rendez-vous et gardes de toute l’équipe, avec les remplacements des vacances", URL: "https://agenda.example/"},
		{Name: "archive", URL: "javascript:alert(1)"},
	}
}

func facts() []web.Fact {
	return []web.Fact{
		{Label: "name", Value: "Jeanne Martin"}, {Label: "national_id", Value: "899700218896"}, {Label: "profession", Value: "10"},
		{Label: "structure", Value: "Centre hospitalier universitaire de Villeneuve-lès-Avignon"},
		{Label: "mailbox", Value: "jeanne.martin@medecin.mssante.example"}, {Label: "address", Value: "jeanne.martin@example.fr"},
	}
}

// accountWays has every means of proof, and what may be added when there is one already.
func accountWays(person web.Person) web.AccountPage {
	now := time.Now()
	p := web.AccountPage{Person: person, Facts: facts()[:2], Address: "jeanne.martin@example.fr", AddressAction: "/account/address", Notice: "factor_added"}
	for _, kind := range []string{"password", "totp", "recovery", "phone", "passkey"} {
		p.Factors = append(p.Factors, web.FactorInfo{
			Kind: kind, Label: "Chrome 152 sur Android, de garde un jour", Added: now.AddDate(0, -1, 0), Used: now, Codes: kind == "recovery", Left: 1, Remove: "/account/factors/" + kind + "/remove",
		})
		p.Enrol = append(p.Enrol, web.Enrolment{Kind: kind, Path: "/account/" + kind})
	}
	return p
}

// account has times of today, of yesterday and of another year, of IPv4 and IPv6, known and unknown words.
func account(person web.Person) web.AccountPage {
	const hardware = "urn:authgw:acr:hardware"
	now := time.Now()
	here := web.SessionInfo{
		Current: true, Method: "card", ACR: hardware, Source: "192.0.2.17", Browser: "Firefox 153, Linux",
		Since: now.Add(-10 * time.Minute), Seen: now, End: "/account/sessions/1/end",
	}
	return web.AccountPage{
		Person: person, Facts: facts()[:5], Current: here, EndAll: "/account/sessions/end", Notice: "address_changed",
		Sessions: []web.SessionInfo{here, {
			Method: "psc", ACR: "urn:authgw:acr:two-factor", Source: "2001:db8:85a3:8d3:1319:8a2e:370:7348",
			Since: now.AddDate(0, 0, -1), Seen: now.Add(-time.Hour), End: "/account/sessions/2/end",
		}},
		Logins: []web.LoginInfo{
			{Time: here.Since, Method: "card", Success: true, Source: here.Source, Browser: here.Browser, Service: "Messagerie"},
			{Time: now.AddDate(0, 0, -1), Method: "card", Reason: "expired", Source: here.Source, Browser: here.Browser},
			{Time: now.AddDate(-1, 0, 0), Method: "fax", Reason: "eaten by the dog", Source: "2001:db8:85a3:8d3:1319:8a2e:370:7348"},
		},
		Address: "jeanne.martin@example.fr", AddressAction: "/account/address",
		Enrol:    []web.Enrolment{{Kind: "password", Path: "/account/password"}, {Kind: "totp", Path: "/account/totp"}},
		Consents: []web.ConsentInfo{{Service: "Agenda", Told: []string{"identity", "profile", "email"}, Since: now.AddDate(0, -1, 0), Withdraw: "/account/consents/withdraw", Client: "agenda"}},
		Factors: []web.FactorInfo{
			{Kind: "card", Label: "nº 2800636234", Added: now.AddDate(-1, 0, 0), Used: here.Since},
			{Kind: "totp", Label: "Téléphone de garde", Added: now.AddDate(0, -2, 0), Remove: "/account/factors/2/remove"},
			{Kind: "recovery", Added: now.AddDate(0, -2, 0), Codes: true, Left: 7, Remove: "/account/factors/3/remove"},
		},
	}
}
