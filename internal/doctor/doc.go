// Package doctor looks at an installation of the gateway and says what to do.
//
// It reads what a configuration names, resolves, connects and asks; it changes nothing, and it signs nobody in. No finding holds a
// secret or names a person. A Doctor is used by one goroutine.
package doctor
