// Package config reads the configuration files of both programs, strictly and once.
//
// Everything that is wrong with a file is reported at once, each with file, line, what was expected and, for a misspelt key,
// the nearest known one. What comes back cannot be wrong, is not changed afterwards, and is safe for concurrent use. The
// package opens no file but the one it is given, and checks of the others only that they are there and readable.
package config
