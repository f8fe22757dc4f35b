package qr

// What the tests of the package look at by itself.
var (
	SameNetwork = sameNetwork
	ReadCode    = readCode
	LoginCode   = loginCode
	AddCode     = addCode
	TwoDigits   = twoDigits
)

// Streams is how many are open.
func (m *Method) Streams() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open
}
