package psc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// discoverySuffix follows the issuer. It is not that of OpenID Connect Discovery 1.0, section 4, where PSC has another document.
const discoverySuffix = "/.well-known/wallet-openid-configuration"

const (
	documentLife = 24 * time.Hour // for which a document is used that could not be read again
	readAgain    = time.Hour
	retryFirst   = 10 * time.Second // after a failure; then twice as long each time
	retryMost    = 5 * time.Minute
	askAgain     = 5 * time.Second // how soon a login may ask after a failure
)

// document is a discovery document that was checked. It is not changed.
type document struct {
	config   oidc.ProviderConfig
	logout   string // end_session_endpoint; empty: there is none
	verifier *oidc.IDTokenVerifier
	read     time.Time
}

// failure is why a document could not be had.
type failure struct {
	err  error
	word string // of the catalogue
	at   time.Time
}

func (m *Method) discoveryURL() string { return m.Issuer + discoverySuffix }

// document returns the one in use, or nil.
func (m *Method) document() *document {
	d := m.current.Load()
	if d == nil || m.Now().Sub(d.read) > documentLife {
		return nil
	}
	return d
}

// inherit takes over what another method with the same issuer knows, when it may be there by the hosts of this one.
func (m *Method) inherit(b *Method) {
	d := b.document()
	if d == nil || m.check(d.config, d.logout) != nil {
		return
	}
	d = m.use(d.config, d.logout, d.read)
	m.current.Store(d)
}

// use makes a document of what was checked.
func (m *Method) use(c oidc.ProviderConfig, logout string, read time.Time) *document {
	// Its algorithms do not count: PSC lists thirteen, and signs with one (F5).
	c.Algorithms = nil
	p := c.NewProvider(oidc.ClientContext(context.Background(), m.client)) // for the client; it starts nothing
	return &document{config: c, logout: logout, read: read, verifier: p.Verifier(&oidc.Config{
		ClientID: m.ClientID, SupportedSigningAlgs: []string{oidc.RS256}, Now: m.Now,
		SkipExpiryCheck: true, // checkTimes does, with a leeway
	})}
}

// provider returns the document in use, and reads one where there is none.
func (m *Method) provider(ctx context.Context) (*document, error) {
	if d := m.document(); d != nil {
		return d, nil
	}
	m.fetching.Lock()
	defer m.fetching.Unlock()
	if d := m.document(); d != nil {
		return d, nil
	}
	if f := m.failed.Load(); f != nil && m.Now().Sub(f.at) < askAgain {
		return nil, f.err
	}
	return m.discover(ctx)
}

// discover reads the document. m.fetching is held.
func (m *Method) discover(ctx context.Context) (*document, error) {
	c, logout, err := m.fetch(ctx)
	if err == nil {
		if err = m.check(c, logout); err != nil {
			err = fmt.Errorf("discovery document %s: %w", m.discoveryURL(), err)
		}
	}
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return nil, ctx.Err() // whoever asked has gone: that says nothing
	}
	if err != nil {
		f := &failure{err: err, word: wrong, at: m.Now()}
		if errors.Is(err, errUnread) {
			f.word = down
		}
		if old := m.failed.Swap(f); old == nil || old.err.Error() != err.Error() {
			m.Log.Error("Pro Santé Connect: discovery failed", "error", err, "in_use", m.document() != nil)
		}
		return nil, err
	}
	if m.failed.Swap(nil) != nil {
		m.Log.Info("Pro Santé Connect: discovery works again")
	}
	d := m.use(c, logout, m.Now())
	if old := m.current.Load(); old != nil && old.logout == logout && reflect.DeepEqual(old.config, d.config) {
		d.verifier = old.verifier // with the keys that it knows
	}
	m.current.Store(d)
	return d, nil
}

// errUnread marks a document that could not be had, rather than one that is wrong.
var errUnread = errors.New("no document")

func (m *Method) fetch(ctx context.Context) (c oidc.ProviderConfig, logout string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.discoveryURL(), nil)
	if err != nil {
		return c, "", err
	}
	r.Header.Set("Accept", "application/json")
	answer, err := m.client.Do(r)
	if err != nil {
		return c, "", fmt.Errorf("%w: %w", errUnread, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return c, "", fmt.Errorf("%w: %s answers %d", errUnread, m.discoveryURL(), answer.StatusCode)
	}
	var raw json.RawMessage
	var end struct {
		URL string `json:"end_session_endpoint"`
	}
	if json.NewDecoder(answer.Body).Decode(&raw) != nil || json.Unmarshal(raw, &c) != nil || json.Unmarshal(raw, &end) != nil {
		return c, "", fmt.Errorf("%s is no discovery document", m.discoveryURL())
	}
	return c, end.URL, nil
}

// check refuses a document of another issuer, or that leads to another host than the allowed ones.
func (m *Method) check(c oidc.ProviderConfig, logout string) error {
	if c.IssuerURL != m.Issuer { // OpenID Connect Discovery 1.0, section 4.3: exactly
		return errors.New("it is of another issuer than the configuration's")
	}
	places := []struct{ key, address string }{
		{"authorization_endpoint", c.AuthURL}, {"token_endpoint", c.TokenURL}, {"userinfo_endpoint", c.UserInfoURL}, {"jwks_uri", c.JWKSURL},
	}
	if logout != "" {
		places = append(places, struct{ key, address string }{"end_session_endpoint", logout})
	}
	for _, p := range places {
		if p.address == "" {
			return fmt.Errorf("it has no %s", p.key)
		}
		u, err := url.Parse(p.address)
		if err != nil || u.Fragment != "" || m.mayReach(u) != nil {
			return fmt.Errorf("its %s is not https on one of psc.hosts", p.key)
		}
	}
	return nil
}

// keepDiscovery reads the document again and again until ctx ends.
func (m *Method) keepDiscovery(ctx context.Context) {
	retry := retryFirst
	for ctx.Err() == nil {
		wait := readAgain
		if d := m.document(); d == nil || m.Now().Sub(d.read) >= readAgain/2 {
			m.fetching.Lock()
			_, err := m.discover(ctx)
			m.fetching.Unlock()
			if err != nil {
				wait, retry = retry, min(2*retry, retryMost)
			} else {
				retry = retryFirst
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(spread(wait)):
		}
	}
}

// spread changes a time by up to a fifth, so that what began together does not stay together.
func spread(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1)
}

// Discover reads the document now, and says what is wrong.
func (m *Method) Discover(ctx context.Context) error {
	m.fetching.Lock()
	defer m.fetching.Unlock()
	_, err := m.discover(ctx)
	return err
}
