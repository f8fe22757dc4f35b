// Package config reads the configuration files of both programs, strictly and once.
//
// Everything that is wrong with a file is reported at once, each with file, line, what was expected and, for a misspelt key,
// the nearest known one. A key that nothing asks for is an error, so a setting cannot be parsed and then ignored. What comes
// back cannot be wrong, is not changed afterwards, and is safe for concurrent use.
//
// The package opens the file that it is given and the certificates and keys that the file names, to check that they are
// there, fit together, and are safe where they lie; it keeps nothing of them. It never prints the content of a file, nor a
// value that may hold a password.
package config
