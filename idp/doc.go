// Package idp knows who a person is: it runs the auth host, opens and ends sessions, and carries them to the service hosts.
//
// How a person proves it is a Method, one folder each below this one. A method asks for nothing but a place under /login/ and
// hands over a Proof or a Refusal; accounts, sessions, cookies, audit and pages are here, the same for every method. A session
// is opened with new secrets at every login; the browser holds one token of it for each host, the database their hashes.
//
// The package never sees a card's PIN or key, and knows nothing of how a request is forwarded. All of it is safe for concurrent use.
package idp
