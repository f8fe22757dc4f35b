// Command assertion is a service behind the gateway that knows people by the signed assertion, and by nothing else:
//
//	AUTHGW_ISSUER=https://auth.example.fr AUTHGW_SERVICE=agenda LISTEN=127.0.0.1:8081 go run .
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"
)

// seldom lets one request through in ten seconds: somebody who makes up key identifiers must not have us flood the gateway.
type seldom struct{ *rate.Limiter }

func (s seldom) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.Allow() {
		return nil, errors.New("the keys have just been asked for")
	}
	return http.DefaultTransport.RoundTrip(r)
}

func main() {
	issuer, service := os.Getenv("AUTHGW_ISSUER"), os.Getenv("AUTHGW_SERVICE")
	client := &http.Client{Transport: seldom{rate.NewLimiter(rate.Every(10*time.Second), 1)}, Timeout: 5 * time.Second}
	// The set is kept, and asked for again when a signature is by none of its keys.
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), client), issuer+"/oauth/keys")
	// Checks iss, aud and exp, and takes no algorithm but this one.
	verifier := oidc.NewVerifier(issuer, keys, &oidc.Config{ClientID: service, SupportedSigningAlgs: []string{oidc.ES256}})

	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		token, err := verifier.Verify(r.Context(), r.Header.Get("X-Authgw-Assertion"))
		var person struct{ Name string }
		if err == nil {
			err = token.Claims(&person)
		}
		// An assertion lives for a minute; the other one is for clocks that differ.
		if err != nil || time.Until(token.Expiry) > 2*time.Minute {
			log.Print("refused: ", err)
			http.Error(w, "Please come through the gateway.", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "Bonjour %s ! Your records are under %s.\n", person.Name, token.Subject)
	})
	log.Fatal((&http.Server{Addr: os.Getenv("LISTEN"), ReadTimeout: time.Minute, WriteTimeout: time.Minute}).ListenAndServe())
}
