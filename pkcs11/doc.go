// Package pkcs11 reaches the smart card of this workstation: its tokens and keys through a PKCS#11 module, its readers and
// the coming and going of cards through PC/SC.
//
// It owns three things. The PKCS#11 module runs in a child process, one per use (Start, Serve): vendors' modules crash, print
// and hang, and only a process can be ended. A Signer verifies each signature against the certificate before it gives it out. And
// once a PIN was given, Close resets the card, because C_Logout leaves it open to every other program of the workstation.
//
// It never tries a PIN twice, never keeps one in the parent, never logs or returns one, and knows nothing of HTTP or of whom to
// trust: whether a certificate is good is for its caller and, in the end, for the gateway.
//
// The PIN does stay in the memory of the child, which the bindings give no way to wipe. The bound: the child lives for one use,
// writes no core dump, cannot be traced by other processes of the user (Linux), and its standard error, where modules print what
// they send to the card, is thrown away.
//
// Concurrency: a Module and its Tokens may be used from several goroutines; calls to the module run one after the other. Close may be
// called at any time and ends a call that does not come back. Every PC/SC call has its own context, since two calls on one
// context can block the whole process.
package pkcs11
