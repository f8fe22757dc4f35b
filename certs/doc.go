// Package certs decides what a card certificate is worth: who the holder is, whether a configured authority that may issue cards
// made it for authentication, whether it is in its time and not revoked.
//
// It proves nothing about who presents the certificate: a certificate is public, and that its key is at hand is for the TLS layer
// to prove. It never uses the authorities of the system nor certificates that the peer sent beside its own, never fetches anything,
// and never logs. Everything it returns is immutable; a Verifier, a Trust and a CRLs are safe for concurrent use.
//
// # Reasons and their order
//
// A certificate may be wrong in several ways. The reason given is the first of this list that applies:
//
//  1. none: there is no certificate.
//  2. malformed: not one DER certificate of at most 16 KiB, or a name or card extension that cannot be read without guessing (two
//     common names, a control character, an INTEGER where an OCTET STRING belongs).
//  3. test_card, unless allowed: a test category, or an issuer named as a test authority.
//  4. unknown_issuer: no chain of signatures to a configured root through configured intermediates, whatever the dates.
//  5. test_card, unless allowed: a test authority further up the chain.
//  6. software_certificate, unsupported_card_type: the category says that the key is in a file, or in a server's security module.
//     It is believed from any configured chain, so the person reads what to do instead of "unknown issuer".
//  7. unknown_issuer: the authority that signed it is not one that issues cards.
//  8. wrong_usage: an authority's certificate, or one not made for TLS clients: keyUsage without digitalSignature, extended key usage
//     without clientAuth in so many words (anyExtendedKeyUsage does not count), or an authority that may not issue for clients.
//  9. malformed: a public key that no card has (RSA outside 2048-4096 bits, ECDSA outside P-256 and P-384, anything else).
//  10. unsupported_card_type: no category, a type that is none of CPS, CPF, CPE, CPA, no national identifier or one of a type that we
//     do not know, several structures, or a card of a service rather than a person unless Config.AllowService.
//  11. not_yet_valid, expired: the certificate or an authority above it, now.
//  12. revoked: the certificate or an intermediate is on the list of its issuer, even an outdated list.
//  13. revocation_unknown: for the certificate or an intermediate there is no list, or it is outdated, or says no end, or has not begun.
//
// # Identity
//
// A person is the pair (Holder.IDType, Holder.NationalID), compared byte by byte: no case or space is folded (two people could
// become one), and names take no part in it.
package certs
