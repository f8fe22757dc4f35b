// Package password keeps passwords as Argon2id hashes, compares them, and says which ones are good enough.
//
// It owns the form in which a password is hashed and the rules for a new one; it never stores or logs anything, and it counts no failures
// (package throttle does). A Hasher lets a few hashes be computed at once and the others wait for a moment: what signs in must not starve
// those who are signed in. A Hasher, a Policy and a Breached list are safe for concurrent use.
//
// A password is text, and the same keys give other bytes on another system: a letter with an accent may be one character or two, and the
// space of a French keyboard a no-break one. So what is hashed is the password as RFC 8265, section 4.2 (OpaqueString) prepares it: other
// spaces become the space, and then Unicode NFC. NIST SP 800-63B would rather have NFKC or NFKD (revision 3, section 5.1.1.2).
// These also make one character of two that have keys of their own on every French keyboard (2 and ²), and eighteen out of one (U+FDFA),
// after which a length says nothing.
package password
