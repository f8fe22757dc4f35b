package web

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
	Notice  string   // a word of the catalogue shown above: "signed_out", "expired", or empty
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

// PortalService is one entry of the portal.
type PortalService struct {
	Title, Description, URL string
}

// SigningOutPage is seen for a moment while a sign-out goes round the services. It leads on to Next by itself.
type SigningOutPage struct {
	Next string // http or https URL
}

// SignedOutPage says that the session is over everywhere.
type SignedOutPage struct{}

// ErrorPage tells a person what happened and what to do. Code is a word of the catalogue: a reason of package certs with the
// prefix "card_" (card_expired …), or one of: bad_request, not_found, too_large, timeout, unavailable, internal, forbidden,
// login_unknown (the login is over, was used, or belongs to another browser), session_over (a form came without a session),
// misdirected, backend_down, backend_slow.
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

func (LoginPage) template() string       { return "login" }
func (WaitPage) template() string        { return "wait" }
func (PortalPage) template() string      { return "portal" }
func (SigningOutPage) template() string  { return "signing_out" }
func (SignedOutPage) template() string   { return "signed_out" }
func (ErrorPage) template() string       { return "error" }
func (AgentStatusPage) template() string { return "agent_status" }
func (AgentPINPage) template() string    { return "agent_pin" }
func (AgentChoicePage) template() string { return "agent_choice" }
func (AgentErrorPage) template() string  { return "agent_error" }
func (AgentHomePage) template() string   { return "agent_home" }
