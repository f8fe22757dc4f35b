package config

import "net/netip"

// Passkeys is the login with a passkey of the workstation.
type Passkeys struct {
	Enabled bool // default: when there is a file of seal_keys
}

// Phone is the login that a phone approves.
type Phone struct {
	Enabled  bool           // default: when there is a file of seal_keys
	Networks []netip.Prefix // of the workstations that may begin one; none: any
}

// readPhone reads the sections passkeys and phone. seal_keys has been read.
func readPhone(top *section, g *Gateway) {
	keys := g.SealKeys != ""
	s := top.sub("passkeys")
	g.Passkeys = Passkeys{Enabled: optional(s, "enabled", keys, value.boolean)}
	s.close()

	s = top.sub("phone")
	g.Phone = Phone{Enabled: optional(s, "enabled", keys, value.boolean), Networks: list(s, "networks", network)}
	refuseTwice(s, "networks", value.text)
	if at := s.at("enabled"); at.node != nil && g.Phone.Enabled && !keys {
		at.reportf("seal_keys expected beside it, none given: the QR codes are made with its keys")
	}
	if at := s.at("networks"); at.node != nil {
		if values, err := at.list(); err == nil && len(values) == 0 { // would be any, and looks like none
			at.reportf("at least one network expected, an empty list given (leave the key out to allow any)")
		}
	}
	s.close()
}

// network reads a network, or one address.
func network(v value) (netip.Prefix, error) {
	text, err := v.text()
	p, bad := netip.ParsePrefix(text)
	if a, one := netip.ParseAddr(text); one == nil && a.Zone() == "" {
		p, bad = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || bad != nil || p.Masked() != p || p.Addr().Is4In6() {
		return netip.Prefix{}, v.want("a network such as 192.0.2.0/24 or 2001:db8::/32, its first address before the slash,")
	}
	return p, nil
}
