// Package gateway puts the parts of authgw together: from a configuration and what it names to a running gateway.
//
// It decides nothing about persons and requests; it wires those who do, opens and closes what they share, and keeps the revocation
// lists current. A Gateway is run once; Run owns every goroutine, and none outlives it.
package gateway
