// Package vcard is a smart card in memory for tests: a PIV card (NIST SP 800-73-4) that plugs into a virtual reader of vpcd, so that the
// real PC/SC daemon and real PKCS#11 modules use it as any other card.
//
// It owns the card's state: its PIN counter, whether the PIN was given since the last reset, its key. It never touches a real
// reader, and it does only what a login needs: SELECT, GET DATA, VERIFY, GENERAL AUTHENTICATE.
//
// Concurrency: one goroutine per insertion answers the reader; the methods of Card may be called from any other.
package vcard
