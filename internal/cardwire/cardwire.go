// Package cardwire is what the agent and the gateway say to each other: paths, requests and answers of the card login.
//
// Both programs import it, so that neither can drift. All bodies are JSON, at most MaxBody bytes. The package only names
// things; it does no I/O.
package cardwire

// MaxBody bounds every request and answer, in bytes.
const MaxBody = 8 << 10

// DefaultAgentPort is the port on 127.0.0.1 where the agent listens.
const DefaultAgentPort = 24780

// Paths of the gateway.
const (
	// FetchPath, on the auth host: POST Fetch, answered by Fetched. The agent has the login and is about to work on it.
	FetchPath = "/login/card/fetch"
	// ProvePath, on the card host, over TLS with the card's certificate: POST Prove, answered by Proved.
	ProvePath = "/login/card/prove"
	// WatchPath, on the auth host: POST Watch, answered by Watched. With Card "present" the answer is held for up to
	// WatchHold seconds while the session is open, so the agent calls it in a loop for as long as the card stays in the reader.
	WatchPath = "/login/card/watch"
	// CallbackPath, on the auth host: the agent sends the browser to it, followed by the code of Proved.
	CallbackPath = "/login/card/callback/"
)

// StartPath is where, on the agent, a login starts: followed by <gateway name>/<handle>.
const StartPath = "/login/"

// WatchHold is how long, in seconds, the gateway holds an answer to Watch.
const WatchHold = 20

// Fetch asks whether a login is waiting for an agent. The handle is 43 characters of base64url (256 bits).
type Fetch struct {
	Handle  string `json:"handle"`
	Version string `json:"version"` // of the agent, for the gateway's log
}

// Fetched says that it is. An unknown, used or expired handle gets 404 and an Error "login_unknown".
type Fetched struct {
	ExpiresIn int `json:"expires_in"` // seconds
}

// Prove asks for the login to be judged on the certificate of this TLS connection.
type Prove struct {
	Handle string `json:"handle"`
}

// Proved carries the one-time code that the agent gives to the browser. It says nothing of the verdict: accepted or
// refused, the browser that began is the one to be told, at CallbackPath. Watch is empty when there is nothing to watch.
type Proved struct {
	Code  string `json:"code"`
	Watch string `json:"watch,omitempty"`
}

// Values of Watch.Card.
const (
	CardPresent = "present"
	CardRemoved = "removed"
)

// Watch tells the gateway about the card that opened a session.
type Watch struct {
	Token string `json:"token"`
	Card  string `json:"card"`
}

// Watched says whether the session still lives. Once it does not, the agent stops watching.
type Watched struct {
	Open bool `json:"open"`
}

// Error is the body of every answer that is not a success.
type Error struct {
	Error   string `json:"error"` // a word: login_unknown, bad_request, unavailable …
	Message string `json:"message,omitempty"`
}
