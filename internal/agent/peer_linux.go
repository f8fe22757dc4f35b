package agent

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"strconv"
)

// maxTable bounds what is read of the kernel's table: 16 MiB are some hundred thousand connections.
const maxTable = 16 << 20

// tcpEstablished is TCP_ESTABLISHED of linux/tcp_states.h, as the table prints it.
const tcpEstablished = "01"

// ownPeer looks the peer's end of the connection up in the kernel's tables, which carry the user of each socket. A
// dual-stack socket is in tcp6 with a mapped address. Not found is not ours.
func ownPeer(peer, own netip.AddrPort) bool {
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		if uid, ok := socketUser(name, peer, own); ok {
			return uid == os.Geteuid()
		}
	}
	return false
}

func socketUser(name string, local, remote netip.AddrPort) (int, bool) {
	f, err := os.Open(name)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	table, err := io.ReadAll(io.LimitReader(f, maxTable))
	if err != nil {
		return 0, false
	}
	return findUser(table, local, remote)
}

// findUser finds the owner of the established socket local→remote in a table in the format of proc(5): "sl local_address
// rem_address st tx:rx tr:when retrnsmt uid timeout inode …". A socket that waits after its process has closed it is shown
// with uid 0 and inode 0: it is nobody's, and skipped.
func findUser(table []byte, local, remote netip.AddrPort) (uid int, found bool) {
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) < 10 || string(f[3]) != tcpEstablished || string(f[9]) == "0" {
			continue
		}
		l, ok1 := parseSocketAddr(f[1])
		r, ok2 := parseSocketAddr(f[2])
		if !ok1 || !ok2 || l != local || r != remote {
			continue
		}
		n, err := strconv.ParseUint(string(f[7]), 10, 32)
		return int(n), err == nil
	}
	return 0, false
}

// parseSocketAddr reads ADDRESS:PORT in hexadecimal. The address is printed as 32-bit words in the byte order of the
// machine, the port as a number.
func parseSocketAddr(s []byte) (netip.AddrPort, bool) {
	text, portText, ok := bytes.Cut(s, []byte(":"))
	if !ok || (len(text) != 8 && len(text) != 32) || len(portText) != 4 {
		return netip.AddrPort{}, false
	}
	raw, err := hex.DecodeString(string(text))
	if err != nil {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	port, err := strconv.ParseUint(string(portText), 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), true
}
