package passkey

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
)

// Why a key proves nothing. Any other error of Add and Prove is a fault of ours.
var (
	ErrRefused = errors.New("the answer does not prove what was asked")
	ErrUnknown = errors.New("no such passkey is enrolled")
	ErrCloned  = errors.New("the count of the passkey did not rise: there may be a copy of it")
	ErrFull    = errors.New("there are as many passkeys as there may be")
)

// Config is what Credentials are made of. Every field is needed.
type Config struct {
	Server  *idp.Server
	Product string // name that devices show
	Store   *store.Store
	Log     *slog.Logger
	Now     func() time.Time
}

// Credentials adds passkeys and lets people prove that they hold one.
type Credentials struct {
	Config
	party *webauthn.WebAuthn
}

// NewCredentials returns the passkeys of the auth host: good for its origin and no other.
func NewCredentials(c Config) (*Credentials, error) {
	party, err := webauthn.New(&webauthn.Config{
		RPID: c.Server.Host, RPDisplayName: c.Product, RPOrigins: []string{c.Server.Origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{
			Login: webauthn.TimeoutConfig{Timeout: LoginLife}, Registration: webauthn.TimeoutConfig{Timeout: AddLife},
		},
		// A browser that adds outputs nobody asked for (credProps, say) is no danger; none of them is read.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	return &Credentials{Config: c, party: party}, nil
}

// Ceremony is a challenge that was given out. It is kept on the server; who keeps it bounds its time, and uses it up before it is answered.
type Ceremony struct {
	Options json.RawMessage      `json:"options"` // for navigator.credentials: of this, the browser is told
	State   webauthn.SessionData `json:"state"`
}

// holder is a person as the library wants to know them.
type holder struct {
	subject, name string
	keys          []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return []byte(h.subject) }
func (h holder) WebAuthnName() string                       { return h.name }
func (h holder) WebAuthnDisplayName() string                { return h.name }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

// algorithms are those of passkeys in the field: ES256 of all, EdDSA of some, RS256 of Windows with a TPM.
func algorithms() []protocol.CredentialParameter {
	var all []protocol.CredentialParameter
	for _, a := range []webauthncose.COSEAlgorithmIdentifier{webauthncose.AlgES256, webauthncose.AlgEdDSA, webauthncose.AlgRS256} {
		all = append(all, protocol.CredentialParameter{Type: protocol.PublicKeyCredentialType, Algorithm: a})
	}
	return all
}

// AskNew asks for a new key of a person. A device that has one of theirs already makes no second.
func (c *Credentials) AskNew(ctx context.Context, subject, name string, platform bool) (Ceremony, error) {
	h := holder{subject: subject, name: name}
	factors, err := c.Store.Factors(ctx, subject)
	if err != nil {
		return Ceremony{}, err
	}
	for _, f := range factors {
		if f.Kind != store.Passkey && f.Kind != store.Phone {
			continue
		}
		key, err := keyOf(f)
		if err != nil {
			return Ceremony{}, err
		}
		h.keys = append(h.keys, key)
	}
	options := []webauthn.RegistrationOption{
		webauthn.WithExclusions(webauthn.Credentials(h.keys).CredentialDescriptors()), webauthn.WithCredentialParameters(algorithms()),
	}
	if platform {
		selection := c.party.Config.AuthenticatorSelection
		selection.AuthenticatorAttachment = protocol.Platform
		options = append(options, webauthn.WithAuthenticatorSelection(selection))
	}
	creation, state, err := c.party.BeginRegistration(h, options...)
	if err != nil {
		return Ceremony{}, fmt.Errorf("ask for a new passkey: %w", err)
	}
	return ceremony(creation.Response, state)
}

// Add keeps the key that a device has made for a ceremony, for the person of v, who has asked for it there. It returns ErrRefused or ErrFull.
func (c *Credentials) Add(r *http.Request, v store.Session, kind store.FactorKind, label string, asked Ceremony, answer []byte) (store.Factor, error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return store.Factor{}, c.refused("read", err)
	}
	key, err := c.party.CreateCredential(holder{subject: v.Account.Subject}, asked.State, parsed)
	if err != nil {
		return store.Factor{}, c.refused("verify", err)
	}
	key.Attestation = webauthn.CredentialAttestation{} // none was asked for, and what came instead is of no use
	secret, err := json.Marshal(key)
	if err != nil {
		return store.Factor{}, err
	}
	f := store.Factor{
		ID: idp.NewFactorID(), Subject: v.Account.Subject, Kind: kind, Label: tidy(label), ACR: level(v.ACR, key.Flags.BackupEligible),
		Secret: string(secret), External: external(key.ID), Counter: int64(key.Authenticator.SignCount), Created: c.Now(),
	}
	added, err := c.Server.FactorAdded(r, v, f, Most)
	switch {
	case err != nil:
		return store.Factor{}, err
	case !added:
		return store.Factor{}, ErrFull
	}
	return f, nil
}

// level is that of logins with a key.
func level(enrolledAt string, synced bool) string {
	if synced {
		return idp.Lower(idp.ACRTwoFactor, enrolledAt)
	}
	return idp.Lower(idp.ACRHardware, enrolledAt)
}

// Ask asks for the proof that somebody holds a passkey, over a challenge; nil is a new one.
func (c *Credentials) Ask(challenge []byte) (Ceremony, error) {
	var options []webauthn.LoginOption
	if challenge != nil {
		options = append(options, webauthn.WithChallenge(challenge))
	}
	assertion, state, err := c.party.BeginDiscoverableLogin(options...)
	if err != nil {
		return Ceremony{}, fmt.Errorf("ask for a passkey: %w", err)
	}
	return ceremony(assertion.Response, state)
}

// Proved is a key whose holder has proved it.
type Proved struct {
	Factor store.Factor
	synced bool
}

// Prove says whose key has answered a ceremony, of some kinds, and notes its use. It returns ErrRefused, ErrUnknown or ErrCloned; with the
// last, Proved says of which key.
func (c *Credentials) Prove(ctx context.Context, asked Ceremony, answer []byte, kinds ...store.FactorKind) (Proved, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return Proved{}, c.refused("read", err)
	}
	f, err := c.Store.FactorByExternal(ctx, external(parsed.RawID))
	if errors.Is(err, store.ErrNotFound) || err == nil && !slices.Contains(kinds, f.Kind) {
		return Proved{}, ErrUnknown
	}
	if err != nil {
		return Proved{}, err
	}
	key, err := keyOf(f)
	if err != nil {
		return Proved{}, err
	}
	whose := func(_, _ []byte) (webauthn.User, error) {
		return holder{subject: f.Subject, keys: []webauthn.Credential{key}}, nil // the library compares the handle with the subject
	}
	_, used, err := c.party.ValidatePasskeyLogin(whose, asked.State, parsed)
	if err != nil {
		return Proved{}, c.refused("verify", err)
	}
	if used.Authenticator.CloneWarning { // WebAuthn level 3, section 7.2, step 22
		return Proved{Factor: f}, ErrCloned
	}
	secret, err := json.Marshal(used)
	if err != nil {
		return Proved{}, err
	}
	f.Counter = int64(used.Authenticator.SignCount)
	if err := c.Store.UseFactor(ctx, f, string(secret), c.Now()); errors.Is(err, store.ErrNotFound) {
		return Proved{}, ErrUnknown // removed, or used by another login at the same time
	} else if err != nil {
		return Proved{}, err
	}
	return Proved{Factor: f, synced: used.Flags.BackupEligible}, nil
}

// Proof is what the holder of a key has proved, for a method. A key that is copied between devices is one of software (RFC 8176).
func (c *Credentials) Proof(method string, p Proved) idp.Proof {
	kind := "hwk"
	if p.synced {
		kind = "swk"
	}
	return idp.Proof{Method: method, ACR: p.Factor.ACR, AMR: []string{kind, "user", "mfa"}, Time: c.Now(), Subject: p.Factor.Subject}
}

// refused notes why, for whoever looks for the cause, and returns ErrRefused. The library's errors say what was wrong, not of whom.
func (c *Credentials) refused(what string, err error) error {
	c.Log.Debug("passkey refused", "operation", what, "error", err)
	return ErrRefused
}

func ceremony(options any, state *webauthn.SessionData) (Ceremony, error) {
	data, err := json.Marshal(options)
	return Ceremony{Options: data, State: *state}, err
}

func keyOf(f store.Factor) (key webauthn.Credential, err error) {
	if err := json.Unmarshal([]byte(f.Secret), &key); err != nil {
		return key, fmt.Errorf("read passkey: %w", err)
	}
	return key, nil
}

func external(id []byte) string { return base64.RawURLEncoding.EncodeToString(id) }

// maxLabel bounds the name of a device, in characters.
const maxLabel = 40

// tidy returns what somebody calls a device as it can be shown.
func tidy(label string) string {
	label = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(label, ""))
	letters := []rune(strings.TrimSpace(label))
	return strings.TrimSpace(string(letters[:min(len(letters), maxLabel)]))
}
