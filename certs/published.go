package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
)

// Published says whether a certificate is one of the nine authorities of IGC-Santé as ANS published them in 2013, and its name.
// It is a reminder for operators ("this is not a published authority"), not a source of trust.
func Published(cert *x509.Certificate) (name string, ok bool) {
	sum := sha256.Sum256(cert.Raw)
	fingerprint := hex.EncodeToString(sum[:])
	for _, p := range published() {
		if p.fingerprint == fingerprint {
			return p.name, true
		}
	}
	return "", false
}

type publishedAuthority struct{ name, fingerprint string }

// published lists the authorities of production, with the SHA-256 fingerprints of their certificates.
// Source: http://igc-sante.esante.gouv.fr/AC/Chaine_de_certification-IGC-Sante.p7b
func published() []publishedAuthority {
	return []publishedAuthority{
		{"AC RACINE IGC-SANTE FORT", "53d30a19570826bde0c0762501f1f1c7a659f976c6c023123df5239df34a4eea"},
		{"AC RACINE IGC-SANTE STANDARD", "5891815e864506c662afb32f8de5b8de38bffa1af721780b69e19a0c050386c3"},
		{"AC RACINE IGC-SANTE ELEMENTAIRE", "2d9e22ca19f777c6b745257c723ecb8df3c35fa6f1f6ec36b83600c97346967f"},
		{"AC IGC-SANTE FORT PERSONNES", "38284e4f6107456e70c7439c85da7d564d0fe1fe1a968c9eb6d43e1fc0d63c3a"},
		{"AC IGC-SANTE FORT ORGANISATIONS", "23f69674002d1dd4b018baecd908dc92687942bb48e5140ff895e2f56bc49c0d"},
		{"AC IGC-SANTE STANDARD PERSONNES", "6c339ebcb3e1b0102b143c9694225c2a4ab2ef6fedf7d364da8db305e7f7d997"},
		{"AC IGC-SANTE STANDARD ORGANISATIONS", "c0520a2b14fb68836a807bf86ab2b3e07d1b6061d91bc9c7b86a6f8de4b5638e"},
		{"AC IGC-SANTE ELEMENTAIRE PERSONNES", "19c1eaeab477b6fbc233cda3b53fbdbc3f4e9bf6cf6973e46f7dfaef89c06c6c"},
		{"AC IGC-SANTE ELEMENTAIRE ORGANISATIONS", "d834ee5b40686b73573f60547bf6052c6d404d942a5665cdb2c0b9137b5d27b2"},
	}
}
