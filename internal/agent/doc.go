// Package agent is the loopback server of cardagent: it turns a browser's navigation into a card login at a gateway.
//
// It owns the checks of the start request, the dialogue with the person (status, PIN, errors) and the mutual TLS with the
// gateway's card host. It never learns of PKCS#11: a card is the interface Cards, wired by the program. The PIN goes from
// the person to Token.Login and nowhere else. One login at a time; the server is safe for concurrent requests.
package agent
