// Package mail sends the gateway's messages to people: a text and an HTML part, in French or in English, through the operator's SMTP
// server.
//
// It owns the words of the messages and what an address may look like. It keeps nothing, tries once, and never sends over a connection
// that could be listened to, unless that is on this machine and the operator said so. Addresses and codes are in no error of it, and
// links come from the configuration only. A Sender is safe for concurrent use.
package mail
