package config

// OTP is the login with a password and a second factor that needs no hardware.
type OTP struct {
	Enabled  bool // default: when there are SealKeys
	MailCode bool // a code to the ordinary address, where messages can be sent; default true
	TOTP     bool // a code of an app; default true
	Recovery bool // a code of a sheet; default true
}

// readOTP reads the section otp. seal_keys has been read.
func readOTP(top *section, g *Gateway) {
	s := top.sub("otp")
	keys := g.SealKeys != ""
	g.OTP = OTP{
		Enabled:  optional(s, "enabled", keys, value.boolean),
		MailCode: optional(s, "mail_code", true, value.boolean),
		TOTP:     optional(s, "totp", true, value.boolean),
		Recovery: optional(s, "recovery", true, value.boolean),
	}
	if at := s.at("enabled"); at.node != nil && g.OTP.Enabled && !keys {
		at.reportf("a file of seal_keys expected beside it, none given: codes and seeds are kept with them")
	}
	if g.OTP.Enabled && !g.OTP.MailCode && !g.OTP.TOTP && !g.OTP.Recovery {
		s.at("enabled").reportf("at least one of mail_code, totp and recovery expected, all of them off: a password alone opens nothing")
	}
	s.close()
}

func (d *dump) otp(o OTP) {
	d.open("otp")
	d.set("enabled", o.Enabled)
	d.set("mail_code", o.MailCode)
	d.set("totp", o.TOTP)
	d.set("recovery", o.Recovery)
	d.close()
}
