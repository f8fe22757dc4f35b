package conformance

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/idp"
	"promess/authgw/idp/oidc"
	"promess/authgw/internal/client"
	"promess/authgw/internal/idptest"
	"promess/authgw/internal/keyring"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

// suite is an auth host with a provider, to which the modules of a plan come one after the other, each with browsers of its own.
type suite struct {
	*idptest.World
	registry   *client.Registry
	ring       *keyring.Ring
	clients    map[string]*client.Client
	secrets    map[string]string
	clientKeys map[string]*jose.SigningKey
	meta       map[string]any // of the discovery document
	mode       string         // response_mode of requests; empty: the default

	server   *http.Client // of relying parties
	browsers int
	toldBack chan told // what clients are told of logouts
}

// newSuite returns one with clients of some settings.
func newSuite(t *testing.T, all ...client.Settings) *suite {
	t.Helper()
	s := &suite{clients: map[string]*client.Client{}, secrets: map[string]string{}, clientKeys: map[string]*jose.SigningKey{}}
	s.World = idptest.New(t, func(w *idptest.World) []idp.Method {
		w.Advance(time.Since(w.Now())) // the library takes the machine's time for ID tokens
		line := make([]byte, 32)
		rand.Read(line)
		keys, err := seal.Parse([]byte("k1 " + base64.StdEncoding.EncodeToString(line) + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if s.ring, err = keyring.Open(t.Context(), w.Store, keys, w.Now); err != nil {
			t.Fatal(err)
		}
		w.Server.Keys = idp.NewKeys(idptest.Origin, s.ring, w.Now)
		s.registry = client.NewRegistry(nil, w.Now)
		provider, err := oidc.New(oidc.Config{
			Server: w.Server, Issuer: idptest.Origin, Clients: s.registry, Ring: s.ring, Store: w.Store, Pages: w.Server.Pages, Log: w.Log, Now: w.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(provider.Close)
		w.Server.Mount(provider)
		return nil
	})
	s.fill(t)
	for _, c := range all {
		s.register(t, c)
	}
	b := s.Browser(t, "127.0.0.99")
	b.Client.Jar = nil
	s.server = b.Client
	a := s.get(t, idptest.Origin+"/.well-known/openid-configuration")
	if a.status != http.StatusOK {
		t.Fatalf("discovery = %d %s", a.status, a.body)
	}
	s.meta = a.json
	return s
}

// mailbox is that of the person who signs in.
const mailbox = "jeanne.martin@hopital.mssante.fr"

// fill writes down the person who signs in, as the directory has them.
func (s *suite) fill(t *testing.T) {
	t.Helper()
	who := s.Proof()
	plan, err := s.Store.PlanImport(t.Context(), []store.Entry{{
		IDType: who.IDType, NationalID: who.NationalID, GivenName: who.GivenName, FamilyName: who.FamilyName, Nominative: []string{mailbox},
	}})
	if err == nil {
		err = s.Store.Import(t.Context(), plan, s.Now, func([]store.Imported) error { return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// register makes a client of settings, in the place of one of the same id.
func (s *suite) register(t *testing.T, settings client.Settings) {
	t.Helper()
	c, err := settings.Client(client.Own{Hosts: []string{idptest.Host}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Auth == client.SharedSecret {
		secret, hash := client.NewSecret()
		c.SecretHashes, s.secrets[c.ID] = append(c.SecretHashes, hash), secret
	}
	s.clients[c.ID] = c
	var all []*client.Client
	for _, c := range s.clients {
		all = append(all, c)
	}
	s.registry.Use(all, client.Own{})
}

// endpoint is one that discovery names.
func (s *suite) endpoint(t *testing.T, name string) string {
	t.Helper()
	at, _ := s.meta[name].(string)
	if at == "" {
		t.Fatalf("discovery names no %s", name)
	}
	return at
}

// supports says whether discovery lists a value.
func (s *suite) supports(list, value string) bool {
	all, _ := s.meta[list].([]any)
	for _, v := range all {
		if v == value {
			return true
		}
	}
	return false
}

// The redirect URIs of the two clients of a module. The second's has a query, as in the suite.
const (
	callback       = "https://rp.example.test/test/callback"
	secondCallback = "https://rp.example.test/test/second?dummy1=lorem&dummy2=ipsum"
	afterLogout    = "https://rp.example.test/test/post_logout_redirect"
)

// first and second are the clients that most modules have.
func first() client.Settings {
	return client.Settings{
		ID: "first", Title: "First", RedirectURIs: []string{callback}, PostLogoutRedirectURIs: []string{afterLogout},
		Scopes: []string{"profile", "email", "offline_access"}, Refresh: true, Signing: "RS256",
	}
}

func second() client.Settings {
	c := first()
	c.ID, c.Title, c.RedirectURIs = "second", "Second", []string{secondCallback}
	return c
}

// party is the relying party of a client.
func (s *suite) party(id string) *party {
	c := s.clients[id]
	return &party{suite: s, id: id, secret: s.secrets[id], callback: c.RedirectURIs[0], alg: c.Signing}
}

// visitor is a person with a new browser.
func (s *suite) visitor(t *testing.T) *visitor {
	t.Helper()
	s.browsers++
	return &visitor{Browser: s.Browser(t, fmt.Sprintf("127.0.1.%d", s.browsers))}
}

// parsed reads a JSON object.
func parsed(body []byte) map[string]any {
	var all map[string]any
	if json.Unmarshal(body, &all) != nil {
		return nil
	}
	return all
}
