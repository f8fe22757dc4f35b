// Command login is a service that sends people to the gateway to sign in, by OpenID Connect, as the client agenda:
//
//	ISSUER=https://auth.example.fr CLIENT_SECRET=… ORIGIN=https://agenda.example.fr LISTEN=127.0.0.1:8084 go run .
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const cookie = "__Host-login" // of the browser in which a login began, which alone may end it

func main() {
	provider, err := oidc.NewProvider(context.Background(), os.Getenv("ISSUER"))
	if err != nil {
		log.Fatal(err)
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: "agenda"})
	party := oauth2.Config{
		ClientID: "agenda", ClientSecret: os.Getenv("CLIENT_SECRET"), Endpoint: provider.Endpoint(),
		RedirectURL: os.Getenv("ORIGIN") + "/callback", Scopes: []string{"openid", "profile"},
	}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		state, secret := rand.Text(), oauth2.GenerateVerifier()
		http.SetCookie(w, &http.Cookie{Name: cookie, Value: state + "." + secret, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, party.AuthCodeURL(state, oidc.Nonce(state), oauth2.S256ChallengeOption(secret)), http.StatusSeeOther)
	})
	http.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		begun, err := r.Cookie(cookie)
		if err != nil || r.FormValue("iss") != os.Getenv("ISSUER") || !strings.HasPrefix(begun.Value, r.FormValue("state")+".") {
			http.Error(w, "This login was not begun here.", http.StatusBadRequest)
			return
		}
		state, secret, _ := strings.Cut(begun.Value, ".")
		tokens, err := party.Exchange(r.Context(), r.FormValue("code"), oauth2.VerifierOption(secret))
		if err != nil {
			http.Error(w, "The login has not worked.", http.StatusBadRequest)
			return
		}
		raw, _ := tokens.Extra("id_token").(string)
		identity, invalid := verifier.Verify(r.Context(), raw)
		info, err := provider.UserInfo(r.Context(), oauth2.StaticTokenSource(tokens))
		var person struct{ Name string }
		if invalid != nil || identity.Nonce != state || err != nil || info.Subject != identity.Subject || info.Claims(&person) != nil {
			http.Error(w, "The login has not worked.", http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "Bonjour %s ! Your records are under %s.\n", person.Name, info.Subject) // and a session of its own begins
	})
	log.Fatal(http.ListenAndServe(os.Getenv("LISTEN"), nil))
}
