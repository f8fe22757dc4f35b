package psctest

import "time"

// Quirks is what is different from a day on which everything works. Its zero value is that day.
type Quirks struct {
	ACR         string // of ID tokens; "" is eidas1, ACRNone leaves it out
	Sub         SubForm
	IDToken     IDTokenQuirk
	BareIDToken bool // no SubjectNameID and nothing else of the person but sub in ID tokens

	Userinfo        UserinfoQuirk
	UserinfoFormat  UserinfoFormat
	UserinfoAnother bool           // everything, sub too, is somebody else's
	UserinfoExtra   map[string]any // set in the answer, whatever it held

	CallbackIss   Presence // of the parameter iss (RFC 9207)
	CallbackState Presence
	CallbackError string // comes back instead of the code, with the state

	AskAgain bool // the browser's session at the provider is forgotten, so that the next login shows the choice

	RefreshPerson  string // key of the person whose tokens and userinfo come back at a refresh
	RefreshKeepSub bool   // though under the sub of the one who signed in

	RefreshAuthTime time.Duration // added to auth_time at a refresh: somebody was asked anew since, or it is another login

	LogoutState Presence // of the parameter state, after a logout

	Discovery DiscoveryQuirk
	Faults    map[Endpoint]Fault
}

// ACRNone leaves acr out.
const ACRNone = "-"

// SubForm is what a sub looks like.
type SubForm string

const (
	SubUUID   SubForm = ""       // since 2026
	SubLegacy SubForm = "legacy" // f:<UUID>:<SubjectNameID>, before
)

// LegacySub returns the sub that somebody had before 2026.
func LegacySub(nameID string) string { return "f:0b1f8a52-6d0e-4d4e-9f0a-2c5f6f3b7a10:" + nameID }

// Presence is what becomes of a parameter.
type Presence string

const (
	Present Presence = ""
	Absent  Presence = "absent"
	Wrong   Presence = "wrong"
)

// IDTokenQuirk is what is wrong with ID tokens, those of a refresh too. Only one thing is wrong at a time.
type IDTokenQuirk string

const (
	IDTokenMissing       IDTokenQuirk = "missing"         // no id_token at all
	IDTokenWrongNonce    IDTokenQuirk = "wrong nonce"     //
	IDTokenNoNonce       IDTokenQuirk = "no nonce"        //
	IDTokenWrongIssuer   IDTokenQuirk = "wrong iss"       //
	IDTokenWrongAudience IDTokenQuirk = "wrong aud"       //
	IDTokenTwoAudiences  IDTokenQuirk = "two audiences"   // the client, and another that azp names
	IDTokenWrongAzp      IDTokenQuirk = "wrong azp"       // aud is right
	IDTokenExpired       IDTokenQuirk = "expired"         // an hour ago
	IDTokenFuture        IDTokenQuirk = "not yet"         // iat and nbf are in an hour
	IDTokenOtherKey      IDTokenQuirk = "other key"       // under the kid of the right one
	IDTokenUnknownKey    IDTokenQuirk = "unknown key"     // under a kid of its own, which is not published
	IDTokenAlgNone       IDTokenQuirk = "alg none"        //
	IDTokenHS256         IDTokenQuirk = "HS256"           // with the client's secret
	IDTokenHS256Public   IDTokenQuirk = "HS256 publickey" // with the published key, in PEM, as the secret
	IDTokenWrongAtHash   IDTokenQuirk = "wrong at_hash"   //
	IDTokenNoAuthTime    IDTokenQuirk = "no auth_time"    //
	IDTokenOldAuthTime   IDTokenQuirk = "old auth_time"   // five hours ago: PSC's session is over
	IDTokenNoSub         IDTokenQuirk = "no sub"          //
)

// UserinfoQuirk is what userinfo lacks.
type UserinfoQuirk string

const (
	UserinfoFull       UserinfoQuirk = ""
	UserinfoSparse     UserinfoQuirk = "sparse"      // an exercise without a speciality and without activities
	UserinfoNoExercise UserinfoQuirk = "no exercise" // names and identifiers only
	UserinfoNoSub      UserinfoQuirk = "no sub"
	UserinfoNoNameID   UserinfoQuirk = "no SubjectNameID"
)

// UserinfoFormat is how userinfo is sent.
type UserinfoFormat string

const (
	UserinfoJSON          UserinfoFormat = ""
	UserinfoJWT           UserinfoFormat = "JWT"
	UserinfoJWTOtherKey   UserinfoFormat = "JWT other key"
	UserinfoJWTNone       UserinfoFormat = "JWT alg none"
	UserinfoJWTAudience   UserinfoFormat = "JWT wrong aud"
	UserinfoJWTIssuer     UserinfoFormat = "JWT wrong iss"
	UserinfoNotJSON       UserinfoFormat = "not JSON"        // a page, with status 200
	UserinfoJWTAsJSONType UserinfoFormat = "JWT, typed JSON" // the content type is not that of a JWT
)

// DiscoveryQuirk is what is wrong with the discovery document.
type DiscoveryQuirk string

const (
	DiscoveryWrongIssuer DiscoveryQuirk = "wrong issuer"
	DiscoveryForeignHost DiscoveryQuirk = "foreign host"  // the token endpoint is at ForeignHost
	DiscoveryHTTP        DiscoveryQuirk = "http endpoint" // the token endpoint is not https
	DiscoveryNoKeys      DiscoveryQuirk = "no jwks_uri"
	DiscoveryNotJSON     DiscoveryQuirk = "not JSON"
	DiscoveryForeignKeys DiscoveryQuirk = "foreign keys" // jwks_uri is at ForeignHost
	DiscoveryNoLogout    DiscoveryQuirk = "no end_session_endpoint"
)

// ForeignHost is a host that no stand-in has.
const ForeignHost = "psc.invalid"

// Endpoint is a part of the provider that may fail.
type Endpoint string

const (
	Discovery Endpoint = "discovery"
	Keys      Endpoint = "keys"
	Wallet    Endpoint = "wallet" // the authorization endpoint
	Token     Endpoint = "token"  // with a code
	Refresh   Endpoint = "refresh"
	Userinfo  Endpoint = "userinfo"
	Logout    Endpoint = "logout"
)

// Fault is an answer that is not the provider's. The fields are looked at in their order; the zero value is none.
type Fault struct {
	Hold   <-chan struct{} // the request waits until it is closed, and then goes on
	Hang   bool            // nothing is answered until the client goes away
	Cut    bool            // the connection is closed instead
	Lost   bool            // the provider does what it is asked to, and then the connection is closed
	Huge   bool            // 64 MiB of JSON, for which a client should not wait
	Slow   bool            // JSON that goes on and on, a few bytes at a time
	Status int             // with an error page, as of a proxy
	To     string          // with Status: the address that a redirect leads to
	Error  string          // with Status: an OAuth error in JSON instead
}

// Refused is the answer of a token endpoint where the session is over.
func Refused() Fault { return Fault{Status: 400, Error: "invalid_grant"} }
