package web

import "time"

// Page is a value that Pages.Render can draw.
type Page interface {
	template() string
}

// Person is who is signed in, for the menu at the top right of the gateway's pages.
type Person struct {
	Name       string // "Dr Jeanne Martin"
	Profession string // a code of IGC-Santé's G15 table, drawn in words; may be empty
	CardType   string // CPS, CPE …
}

// LoginPage is the choice of a way to sign in.
type LoginPage struct {
	Service string   // title of the service that the person wants; empty: the portal
	Methods []string // names of the methods that the gateway offers: "card", …; each has its texts and its form POST /login/<name>
	Browser string   // action, on this host, of the form for a browser with its own access to the card; may be empty
	// Notice is a word of the catalogue shown above: "signed_out", "expired", "recent" (a change needs a new login), "step_level", "step_method",
	// "step_card", "step_recent", "step_person" (what the service asks for beside the session that there is), "psc_ended" (Pro Santé
	// Connect has ended the session), "psc_other_person" (somebody else signed in there), "psc_logout", "psc_unavailable", or empty.
	Notice      string
	Unavailable map[string]string // of methods that do not work at the moment, why: "psc_down", "psc_wrong"
	Images      map[string]string // of methods whose button has an image, its path on this host
	Person      *Person           // who is signed in, and is to sign in again; nil: nobody
	Support     string            // support code of a login that could not go on; may be empty
}

// SituationPage asks a person who works in several situations in which they sign in now.
type SituationPage struct {
	Action     string // of the form; the field is "situation"
	Situations []Situation
}

// Situation is one of them. What is not known is empty.
type Situation struct {
	Value      string // of the field
	Profession string // code of nomenclature G15, drawn in words
	Mode       string // L (self-employed), S (employed), B (volunteer); others are not drawn
	Structure  string // name
	Place      string
}

// WaitPage stays open beside the agent's tab while a card login is under way. Its script polls StatusURL, every second and for
// 150 s at most, for the JSON object {"state":"waiting"}, or "fetched" (the agent has the login), "done" (signed in), "over".
// When the agent has not fetched the login after 4 s, the page offers to start it through AgentURL.
//
// The browser may ask for this page before the form that begins the login has arrived. So the page is drawn for a browser that
// has no login too, with an empty AgentURL; "over" does not count in its first 8 s, and it reloads once the login is there.
type WaitPage struct {
	StatusURL string
	AgentURL  string // authgw-agent:… (the custom scheme)
	RetryURL  string
}

// PortalPage lists the services of a person.
type PortalPage struct {
	Person   Person
	Services []PortalService
}

// PortalService is one entry of the portal. They are drawn in the order in which they come.
type PortalService struct {
	Name                    string // in the configuration; the title where there is no other
	Title, Description, URL string
	Logo                    string // path of an image on this host; empty: the first letter of the title
}

// RegisterPage asks for the person's ordinary e-mail address, at the first login or, with Change, to put it in the place of
// another. Problem is empty, or says why the address that was given was not taken: "malformed", "protected" (it is in a domain
// that this gateway protects), "unsent" (the message could not be sent).
type RegisterPage struct {
	Person  Person
	Change  bool   // the address is to replace another, or is given later than at the first login
	Action  string // of the form; the field is "address"
	Later   string // action of the form that puts it off, or gives it up when Change; empty: not offered
	Address string // what was typed before
	Problem string
}

// RegisterCodePage asks for the code that was sent to the address. Problem is empty, "wrong", "expired", "resent", "too_soon"
// (another code was asked for a moment ago) or "unsent".
type RegisterCodePage struct {
	Person   Person
	Changing bool   // the address is to replace another: RegisterPage had Change
	Action   string // of the form; the field is "code", in which a person may leave spaces
	Resend   string // action of the form that asks for another code; empty: not offered
	Change   string // action of the form that leads back to the address; empty: not offered
	Address  string // masked: j…@example.fr
	Digits   int    // of the code
	Problem  string
	Tries    int // left after a wrong code; 0: not said
}

// RegisteredPage shows what was recorded at the first login.
type RegisteredPage struct {
	Person   Person
	Facts    []Fact
	Continue string // http or https URL, or path: what the person wanted
}

// Fact is something that is known of a person. Label is a word of the catalogue: name, national_id, profession, structure,
// mailbox, address. The Value of a profession may be its code, which is drawn in words.
type Fact struct {
	Label, Value string
}

// AccountPage is what the gateway knows of a person, and what the person can do about it.
type AccountPage struct {
	Person        Person
	Facts         []Fact
	Current       SessionInfo   // how the person signed in
	Sessions      []SessionInfo // all that are open, this one too
	EndAll        string        // action of the form that ends them all, this one too
	Logins        []LoginInfo   // recent ones, the last first
	Address       string        // the ordinary e-mail address; empty: none
	AddressAction string        // action of the form that begins to change it
	Factors       []FactorInfo
	Enrol         []Enrolment
	Consents      []ConsentInfo
	Notice        string // a word shown above: "address_changed", "session_ended", "sessions_ended", "factor_added", "factor_removed", "password_set", "consent_withdrawn", or empty
}

// Enrolment is a means of proof that a person may add. Kind is as in FactorInfo.
type Enrolment struct {
	Kind string
	Path string // of the page where it begins
}

// ConsentInfo is what a person has agreed to tell a client of the OpenID provider.
type ConsentInfo struct {
	Service  string   // title of the client
	Told     []string // as in ConsentPage
	Since    time.Time
	Withdraw string // action of the form that withdraws it; the field is "client"
	Client   string
}

// SessionInfo is one session of AccountPage.
type SessionInfo struct {
	Current     bool
	Method, ACR string // of the login
	Source      string // network address
	Browser     string // of BrowserName; may be empty
	Since, Seen time.Time
	End         string // action of the form that ends it
}

// LoginInfo is one login of AccountPage. Reason is that of a refusal; those that the catalogue does not know are drawn as a
// refusal without one.
type LoginInfo struct {
	Time                     time.Time
	Method                   string
	Success                  bool
	Reason                   string
	Source, Browser, Service string
}

// FactorInfo is a means of proof that a person has enrolled. Kind is a word of the catalogue: card, totp, email, recovery,
// phone, passkey, password.
type FactorInfo struct {
	Kind, Label string
	Added, Used time.Time // zero: never
	Remove      string    // action of the form that removes it; empty: not offered
	Codes       bool      // it is a set of codes, of which Left are not used
	Left        int
}

// OTPPage asks for the identifier and the password. Problem is empty, "wrong" (and nothing says what), "incomplete", "throttled" or
// "busy" (Wait says for how long), "over" (the login took too long), "tries" (there were too many wrong codes).
type OTPPage struct {
	Action     string // of the form; the fields are "identifier" and "password"
	Back       string // leads to the other methods
	Identifier string // what was typed before
	Chosen     bool   // a password was just chosen by an invitation
	Problem    string
	Wait       time.Duration
}

// OTPCodePage asks for the second factor, once the password was right. Problem is empty, "wrong", "shape" (it cannot be a code; no try was
// taken), "expired", "unsent", "too_soon" (a code was sent a moment ago), "throttled" (Wait says for how long, of both).
type OTPCodePage struct {
	Way     string   // totp, mail or recovery; empty: it is to be chosen
	Ways    []OTPWay // the others that the person has
	Action  string   // of the form; the field is "code", in which a person may leave spaces
	Digits  int      // of the code, when it has digits only
	Send    string   // action of the form that sends a code by mail
	Sent    bool     // one was sent
	Address string   // masked: j…@example.fr
	Restart string   // leads back to the password
	Problem string
	Wait    time.Duration
}

// OTPWay is a way to give the second factor. Name is a word of the catalogue: totp, mail, recovery.
type OTPWay struct {
	Name, Path string
}

// PasswordPage asks for a new password. Problem is empty, "different" (the second is not the first), "busy", or a reason of package
// password: too_short, too_long, malformed, personal, breached.
type PasswordPage struct {
	Person     Person
	Action     string // of the form; the fields are "password" and "again"
	Cancel     string
	Change     bool   // there is one already
	Identifier string // by which the person will sign in, for their password manager
	Least      int    // characters
	Problem    string
}

// InvitationPage asks a person whom the support has invited for the code that they were told, and for a new password. It says nothing of who
// they are, since somebody else may have opened the link. Problem is empty, "wrong" (the code), "shape" (it cannot be one; no try was
// taken), "throttled" (Wait says for how long), or one of PasswordPage: the code was right then.
type InvitationPage struct {
	Action  string // of the form; the fields are "code", "password" and "again"
	Code    string // that was right
	Least   int    // characters of a password
	Tries   int    // left after a wrong code
	Problem string
	Wait    time.Duration
}

// TOTPPage shows a key to be put into an app, and asks for a code that the app makes of it. Problem is empty, "wrong", "late" (the key was
// shown too long ago: this is another) or "too_many" (the person has as many apps as they may).
type TOTPPage struct {
	Person    Person
	Action    string // of the form; the fields are "pending", "code" and "label"
	Cancel    string // where to go instead
	Pending   string // the key, sealed
	URI       string // the key, as an app reads it from a QR code
	Key       string // the key, in letters and digits
	Label     string // what was typed before
	LabelMost int    // characters of a label
	Digits    int
	Problem   string
}

// RecoveryPage offers a sheet of recovery codes or, with Codes, shows it: once.
type RecoveryPage struct {
	Person Person
	Action string // of the form that makes codes
	Done   string // where to go afterwards, or instead
	Count  int    // of the codes that are made
	Has    bool   // the person has a sheet, which a new one takes the place of
	Left   int    // codes of it that are not used
	// Instead names that sheet to the form, so that it takes the place of no other.
	Instead string
	Problem string // "changed": there is another sheet than the form knew of
	Codes   []string
	Made    time.Time
}

// PasskeyPage asks the browser for a passkey. Its script gives Options, a JSON object, to navigator.credentials.get and sends the answer,
// as JSON, in the field "answer" of a form.
type PasskeyPage struct {
	Options  string
	Action   string // of the form
	RetryURL string
}

// PasskeyAddPage adds a passkey of the computer that shows it. Its script asks for what navigator.credentials.create needs by a POST to
// Options, and sends the answer as PasskeyPage does. Problem is empty, or says why there is no key: "failed", "full" (there are as many as
// there may be), "late".
type PasskeyAddPage struct {
	Person  Person
	Options string // path
	Action  string // of the form, with the field "label" too
	Label   string // what the device is called unless the person says otherwise
	Problem string
}

// PhoneAddPage adds a phone, step by step: "begin" (what will happen), "shown" (the QR code), "claimed" (the phone shows a number, which
// is asked for here), "confirmed" (the phone makes its key), "done", "ended". Its script loads it anew when the step is another.
type PhoneAddPage struct {
	Person         Person
	Step           string
	Begin          string // action of the form that begins, or begins anew
	Code           string // address in the QR code, at the step shown
	Confirm        string // action of the form that sends the field "number"
	Events, Status string // paths from which the script learns of the next step
	Label          string // of the phone, when it is done
	Reason         string // of the end: expired, wrong_number, not_me, failed, full; others are drawn as expired
}

// QRPage is a login that a phone approves, step by step: "shown" (the QR code), "claimed" (the number that the phone asks for),
// "picked" (the phone asks its owner), "approved" (its script sends the form at once), "ended". Events and Status are as in PhoneAddPage.
type QRPage struct {
	Step           string
	Service        string // title of the service that the person wants; empty: the portal
	Code           string // address in the QR code, at the step shown
	Number         string // at the step claimed
	Finish         string // action of the form that opens the session, once the phone has approved it
	Begin          string // action of the form that begins anew
	Events, Status string
	Reason         string // of the end: expired, wrong_number, not_me, failed, account_disabled; others are drawn as expired
	RetryURL       string
}

// PhonePage is the app of the phone, whose script does everything. View is what it shows first, of the parts that it has: empty for
// the start.
type PhonePage struct {
	View string
}

// SigningOutPage is seen for a moment while a sign-out goes round the services. It leads on to Next by itself.
type SigningOutPage struct {
	Next string // http or https URL
	// Frames are https URLs, of clients of the OpenID provider, that are loaded unseen so that each ends its own session (OpenID Connect
	// Front-Channel Logout 1.0). The page waits for them, for a few seconds at most.
	Frames []string
}

// SignedOutPage says that the session is over everywhere.
type SignedOutPage struct{}

// ErrorPage tells a person what happened and what to do. Code is a word of the catalogue: a reason of package certs with the
// prefix "card_" (card_expired …), or one of: bad_request, oidc_request (a service asks for a login in a way that cannot be answered), not_found, too_large, timeout, unavailable, internal, forbidden,
// login_unknown (the login is over, was used, or belongs to another browser), session_over (a form came without a session),
// passkey_refused, qr_network (no login with a phone from this network), misdirected, backend_down, backend_slow, service_not_allowed
// (the service is not open to this person), level_too_low (the service asks for a stronger login), no_account, account_ambiguous (two accounts match), account_disabled, register_needed (the
// account is not complete), invitation_over (the link is not good, or no longer), no_second_factor (the password was right, and there is nothing to go on with), psc_cancelled,
// psc_refused (what Pro Santé Connect answered is not acceptable), psc_level (its level is not accepted), psc_identity (it names
// nobody whom an account can be for, or somebody else than before), psc_other_person (not whom the open session is of).
type ErrorPage struct {
	Code     string
	Support  string // support code to give on the phone: the person reads it aloud
	RetryURL string // where "try again" leads; empty: no such button
	Person   *Person
}

// The agent's pages.

// AgentStatusPage shows what the agent is doing; it reloads itself every second.
type AgentStatusPage struct {
	Step    string // card, dialog, pad, signing, sending
	Gateway string // title of the gateway
	Origin  string // its origin, as the configuration of the agent has it
	Holder  string // of the card, once known
	Cancel  string // action of the cancel form
	Last    bool   // pad: the next wrong PIN locks the card
	Wrong   bool   // pad: the one before was wrong
}

// AgentPINPage asks for the PIN on the agent's own page.
type AgentPINPage struct {
	Gateway, Origin, Holder string
	Action                  string // form action; the field is "pin"
	Cancel                  string
	Min, Max                int  // digits
	Last                    bool // the next wrong PIN locks the card
	Wrong                   bool // the one before was wrong
	Shape                   bool // the one before was not sent to the card: it was not Min to Max digits
}

// AgentChoicePage asks which card, when several are in readers.
type AgentChoicePage struct {
	Gateway, Origin string
	Action          string // form action; the field is "token"
	Cancel          string
	Tokens          []AgentToken
}

// AgentToken is one choice of AgentChoicePage.
type AgentToken struct {
	Value, Holder, Serial, Reader string
}

// AgentErrorPage says why the agent stopped. Code is a word of the catalogue: unknown_gateway, bad_request, foreign_user,
// busy, no_service, no_reader, no_card, no_certificate, pin_locked, pin_not_accepted, card_removed, card_changed, stalled,
// cancelled, expired, gateway_unreachable, gateway_untrusted, login_unknown, gateway_refused, cannot_sign, card_software, not_found, internal.
type AgentErrorPage struct {
	Code     string
	Detail   string // for the help desk: a code such as CKR_DEVICE_ERROR; never a secret
	RetryURL string // the gateway's login page; empty when the gateway is not known
}

// AgentHomePage is what 127.0.0.1 shows to a person who opens it by hand: the agent runs, and which gateways it knows.
type AgentHomePage struct {
	Version  string
	Gateways []AgentGateway
}

// AgentGateway is one entry of AgentHomePage.
type AgentGateway struct {
	Title, URL string
}

func (LoginPage) template() string         { return "login" }
func (SituationPage) template() string     { return "situation" }
func (ConsentPage) template() string       { return "consent" }
func (ClientRefusedPage) template() string { return "client_refused" }
func (ReturnPage) template() string        { return "return" }
func (FormPostPage) template() string      { return "form_post" }
func (LogoutPage) template() string        { return "logout" }
func (DevicePage) template() string        { return "device" }
func (DeviceConfirmPage) template() string { return "device_confirm" }
func (DeviceDonePage) template() string    { return "device_done" }
func (WaitPage) template() string          { return "wait" }
func (PortalPage) template() string        { return "portal" }
func (RegisterPage) template() string      { return "register" }
func (RegisterCodePage) template() string  { return "register_code" }
func (RegisteredPage) template() string    { return "registered" }
func (AccountPage) template() string       { return "account" }
func (OTPPage) template() string           { return "otp" }
func (OTPCodePage) template() string       { return "otp_code" }
func (PasswordPage) template() string      { return "password" }
func (InvitationPage) template() string    { return "invitation" }
func (TOTPPage) template() string          { return "totp" }
func (RecoveryPage) template() string      { return "recovery" }
func (PasskeyPage) template() string       { return "passkey" }
func (PasskeyAddPage) template() string    { return "passkey_add" }
func (PhoneAddPage) template() string      { return "phone_add" }
func (QRPage) template() string            { return "qr" }
func (PhonePage) template() string         { return "phone" }
func (SigningOutPage) template() string    { return "signing_out" }
func (SignedOutPage) template() string     { return "signed_out" }
func (ErrorPage) template() string         { return "error" }
func (AgentStatusPage) template() string   { return "agent_status" }
func (AgentPINPage) template() string      { return "agent_pin" }
func (AgentChoicePage) template() string   { return "agent_choice" }
func (AgentErrorPage) template() string    { return "agent_error" }
func (AgentHomePage) template() string     { return "agent_home" }
