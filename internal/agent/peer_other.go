//go:build !linux

package agent

import "net/netip"

// ownPeer cannot tell yet whose connection it is on this system, and refuses them all: a login for another user of the
// workstation would be one with the wrong card.
// On Windows GetExtendedTcpTable would tell, on macOS proc_pidfdinfo.
func ownPeer(_, _ netip.AddrPort) bool { return false }
