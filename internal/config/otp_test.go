package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"promess/authgw/internal/config"
)

func TestOTP(t *testing.T) {
	const keys = smallYAML + "seal_keys: seal.keys\n"
	for _, tt := range []struct {
		name, text string
		want       config.OTP
	}{
		{"no keys", smallYAML, config.OTP{MailCode: true, TOTP: true, Recovery: true}},
		{"keys", keys, config.OTP{Enabled: true, MailCode: true, TOTP: true, Recovery: true}},
		{"off", keys + "otp: {enabled: false}\n", config.OTP{MailCode: true, TOTP: true, Recovery: true}},
		{"apps only", keys + "otp: {mail_code: false, recovery: false}\n", config.OTP{Enabled: true, TOTP: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := directory(t)
			write(t, filepath.Join(dir, "seal.keys"), sealKey(), 0o600)
			file := filepath.Join(dir, "c.yaml")
			got, err := config.ParseGateway([]byte(tt.text), file)
			if err != nil {
				t.Fatal(err)
			}
			again, err := config.ParseGateway([]byte(got.Dump()), file)
			if err != nil {
				t.Fatal(err)
			}
			if got.OTP != tt.want || again.OTP != tt.want {
				t.Errorf("otp = %+v, read back from the dump %+v, want %+v", got.OTP, again.OTP, tt.want)
			}
		})
	}
}

func TestOTPThatIsRefused(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"without keys", "otp: {enabled: true}\n", "otp.enabled: a file of seal_keys expected beside it"},
		{"a password alone", "seal_keys: seal.keys\notp: {mail_code: false, totp: false, recovery: false}\n", "a password alone opens nothing"},
		{"another name", "otp: {email_code: false}\n", "otp.email_code: unknown key"},
		{"another value", "otp: {totp: maybe}\n", `otp.totp: true or false expected, "maybe" given`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := directory(t)
			write(t, filepath.Join(dir, "seal.keys"), sealKey(), 0o600)
			g, err := config.ParseGateway([]byte(smallYAML+tt.text), filepath.Join(dir, "c.yaml"))
			if g != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseGateway = %v, %v, want an error with %q", g, err, tt.want)
			}
		})
	}
}
