package doctor_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"promess/authgw/internal/config"
	"promess/authgw/internal/doctor"
	"promess/authgw/internal/mailtest"
	"promess/authgw/internal/testpki"
)

// The server is greeted as a sender would, certificate included, and gets no message.
func TestMailServerIsGreeted(t *testing.T) {
	pki := must(t, hierarchy)
	cert := must(t, func() (tls.Certificate, error) { return pki.ServerCertificate("127.0.0.1") })
	other := must(t, func() (tls.Certificate, error) { return pki.ServerCertificate("mail.example.test") })
	for _, test := range []struct {
		name   string
		server mailtest.Config
		mail   config.Mail
		ca     bool
		status doctor.Status
		words  string
	}{
		{"STARTTLS", mailtest.Config{Certificate: cert}, config.Mail{TLS: "starttls"}, true, doctor.OK, "answers at port"},
		{"TLS from the first byte", mailtest.Config{Certificate: cert, ImplicitTLS: true}, config.Mail{TLS: "tls"}, true, doctor.OK, "answers at port"},
		{"in clear, as configured", mailtest.Config{}, config.Mail{InsecureNoTLS: true}, false, doctor.OK, "answers at port"},
		{"no STARTTLS", mailtest.Config{}, config.Mail{TLS: "starttls"}, true, doctor.Error, "does not offer STARTTLS"},
		{"an authority that is not trusted", mailtest.Config{Certificate: cert}, config.Mail{TLS: "starttls"}, false, doctor.Error, "certificate"},
		{"a certificate for another name", mailtest.Config{Certificate: other}, config.Mail{TLS: "starttls"}, true, doctor.Error, "certificate"},
		{"STARTTLS where TLS is wanted", mailtest.Config{Certificate: cert}, config.Mail{TLS: "tls"}, true, doctor.Error, "127.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := newInstallation(t)
			s := mailtest.Start(t, test.server)
			i.write(t, "mail.pem", testpki.CertificatePEM(pki.Server.Certificate))
			i.config.Mail = test.mail
			i.config.Mail.Host, i.config.Mail.Port = "127.0.0.1", s.Port
			if test.ca {
				i.config.Mail.CA = i.path("mail.pem")
			}
			wantFinding(t, i.examine(t), "mail", test.status, test.words)
			if n := s.Count(); n != 0 {
				t.Errorf("messages = %d, want none", n)
			}
		})
	}
}

func TestMailServerThatIsDown(t *testing.T) {
	i := newInstallation(t)
	i.config.Mail = config.Mail{Host: "127.0.0.1", Port: 1, TLS: "starttls"}
	wantFinding(t, i.examine(t), "mail", doctor.Error, "127.0.0.1, port 1: ")
}

// D2: the gateway knows the mailboxes of its accounts, and cannot know which others it opens.
func TestD2DomainsThatAreNotProtected(t *testing.T) {
	i := newInstallation(t)
	i.config.Mail = config.Mail{Host: "127.0.0.1", Port: 1, TLS: "starttls"}
	wantFinding(t, i.examine(t), "mail", doctor.Warning, "mail.protected_domains is not there")
	i.config.Mail.ProtectedDomains = []string{"mssante.example.test"}
	for _, f := range i.examine(t) {
		if strings.Contains(f.Text, "protected_domains") {
			t.Errorf("%+v, though there is one", f)
		}
	}
}
