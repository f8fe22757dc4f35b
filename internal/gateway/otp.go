package gateway

import (
	"promess/authgw/idp"
	"promess/authgw/idp/otp"
	"promess/authgw/idp/throttle"
	"promess/authgw/internal/password"
)

// throttle counts failed proofs. Nil without a file of keys: then there is no login that could be guessed.
func (g *Gateway) throttle(c Config) (*throttle.Throttle, error) {
	if c.Materials.SealKeys == nil {
		return nil, nil
	}
	return throttle.New(g.store, c.Materials.SealKeys.Derive("throttle"), c.Now)
}

// otp is the login with a password and a second factor.
func (g *Gateway) otp(c Config, provider *idp.Server) (*otp.Method, error) {
	p := c.Gateway.Passwords
	hasher, err := password.NewHasher(p.Params(), p.Concurrent, c.HashCommand...)
	if err != nil {
		return nil, err
	}
	familiar, err := password.NewHasher(p.Params(), p.Concurrent, c.HashCommand...)
	if err != nil {
		return nil, err
	}
	policy := password.Policy{MinLength: p.MinLength}
	if p.Breached != "" { // nobody closes it: requests may use it for as long as they take, and an os.File that nothing uses is closed by itself
		if policy.Breached, err = password.OpenBreached(p.Breached); err != nil {
			return nil, err
		}
	}
	guard, err := g.throttle(c)
	if err != nil {
		return nil, err
	}
	o := c.Gateway.OTP
	return otp.New(otp.Config{
		Server: provider, Hasher: hasher, Familiar: familiar, Policy: policy, Throttle: guard, Keys: c.Materials.SealKeys, Issuer: product + " " + c.Gateway.Hosts.Auth,
		MailCode: o.MailCode, TOTP: o.TOTP, Recovery: o.Recovery,
	}), nil
}
