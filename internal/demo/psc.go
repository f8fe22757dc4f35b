package demo

import (
	"crypto/tls"
	"net/http"
	"strconv"
	"time"

	"promess/authgw/idp/psc"
	"promess/authgw/internal/config"
	"promess/authgw/internal/pscstub"
)

// What stands in for Pro Santé Connect is at the one name of this machine that the gateway can resolve everywhere too.
const (
	pscHost   = "localhost"
	pscClient = "authgw-demo"
	pscSecret = "not a secret: it is good for this run's stand-in alone"
)

func (w *world) pscOrigin() string {
	return "https://" + pscHost + ":" + strconv.Itoa(int(portOf(w.psc)))
}

// newPSC makes the stand-in.
func (w *world) newPSC() (http.Handler, error) {
	auth := w.config.Origin(authHost)
	return pscstub.New(pscstub.Config{
		Issuer: w.pscOrigin() + pscstub.Path, Wallet: w.pscOrigin() + pscstub.WalletPath,
		Clients: []pscstub.Client{{
			ID: pscClient, Secret: pscSecret, RedirectURIs: []string{auth + psc.CallbackPath}, LogoutURIs: []string{auth + psc.LogoutPath},
		}},
	})
}

// pscTLS is how the stand-in's listener speaks.
func (w *world) pscTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{w.certificate}, MinVersion: tls.VersionTLS12}
}

func (w *world) pscConfig() config.PSC {
	return config.PSC{
		Issuer: w.pscOrigin() + pscstub.Path, Hosts: []string{pscHost + ":" + strconv.Itoa(int(portOf(w.psc)))}, ClientID: pscClient, ClientAuth: "basic",
		ACR: []string{"eidas1"}, Scopes: []string{"openid", "scope_all"}, Timeout: 10 * time.Second,
	}
}
