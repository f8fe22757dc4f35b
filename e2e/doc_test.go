// Package e2e starts the real programs and uses them as people do: the binaries authgw and cardagent, Chromium, the PC/SC daemon and
// OpenSC's PKCS#11 module with a virtual card in the reader.
//
// Everything is started by the tests on loopback, on ports and directories of their own, and ended by them. What is missing on the
// machine fails the tests; 'make test' installs it.
package e2e
