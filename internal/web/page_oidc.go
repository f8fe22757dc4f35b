package web

import "time"

// ConsentPage asks a person whether a client of the OpenID provider may be told what it asks for.
type ConsentPage struct {
	Person  Person
	Service string   // title of the client
	Host    string   // where it is; may be empty
	Told    []string // what it will be told, words of the catalogue: identity, profile, email, national_id, profession, structures, card, situation, psc, offline_access
	Action  string   // of the form; the fields are "request" and "answer" (agree or refuse)
	Request string
	Target  string // where the answer leads to in the end, for the policy of the page
}

// ClientRefusedPage tells a person that a client of the OpenID provider is not open to them. Reason is a word of the catalogue: profession,
// structure, card_type.
type ClientRefusedPage struct {
	Person  Person
	Service string // title of the client
	Reason  string
	Support string // support code
	Action  string // of the form that leads back to the client; the field is "request"; empty: nothing leads there
	Request string
	Target  string // as in ConsentPage
}

// ReturnPage leads a person back to a client of the OpenID provider, by itself.
type ReturnPage struct {
	Service string // title of the client
	Next    string // URL of http, https, or of a scheme of its own with a dot in it
}

// FormPostPage sends fields to a client of the OpenID provider, by itself where scripts run (OAuth 2.0 Form Post Response Mode).
type FormPostPage struct {
	Service string // title of the client
	Action  string // http or https URL
	Fields  []Field
}

// Field is one of a form.
type Field struct{ Name, Value string }

// DevicePage asks for the code that a device shows that has no browser (RFC 8628). Problem is a word of the catalogue: wrong, throttled.
type DevicePage struct {
	Person  *Person // who is signed in; nil: nobody
	Action  string  // of the form; the field is "user_code"
	Code    string  // as it stands in the field
	Problem string  // why the form is shown again; may be empty
	Wait    time.Duration
}

// DeviceConfirmPage asks a person whether the device that has shown a code is the one before them.
type DeviceConfirmPage struct {
	Person  Person
	Service string   // title of the client
	Code    string   // that the device must show
	Told    []string // what the client will be told, as in ConsentPage
	Source  string   // network address that the device asked from
	Other   bool     // which is not that of the browser
	Asked   time.Time
	Action  string // of the form; the fields are "request", "session" and "answer" (approve or refuse)
	Request string
	Session string
}

// DeviceDonePage says what has become of a device. Outcome is a word of the catalogue: approved, refused, over.
type DeviceDonePage struct {
	Person  Person
	Service string // title of the client
	Outcome string
	Again   string // path of the DevicePage
}

// LogoutPage asks a person whether they want to be signed out: somebody sent them who may not decide it.
type LogoutPage struct {
	Person  Person
	Service string  // title of the client of the OpenID provider that asks; empty: not known
	Wrong   bool    // what it sent is not right, and nobody is led back to it
	Action  string  // of the form
	Fields  []Field // of the form
	Stay    string  // where the person goes who does not want to
}
