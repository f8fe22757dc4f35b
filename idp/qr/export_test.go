package qr

// What the tests of the package look at by itself.
var (
	ReadCode  = readCode
	LoginCode = loginCode
	AddCode   = addCode
)
