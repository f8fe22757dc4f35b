package demo

import (
	"maps"
	"net/http"
	"sync"
	"time"
)

// guestLife is how long a session of the planning lasts when the gateway does not say before that it is over.
const guestLife = 4 * time.Hour

// guest is what the planning knows of somebody who is signed in.
type guest struct {
	Name       string   `json:"name"`
	Profession string   `json:"profession"`
	Email      string   `json:"email"`
	ACR        string   `json:"acr"`
	AMR        []string `json:"amr"`
	SID        string   `json:"sid"` // the session of the gateway
	idToken    string
	until      time.Time
}

// guests are who is signed in to the planning, by the value of guestCookie. Several goroutines may use them at once.
type guests struct {
	mu    sync.Mutex
	known map[string]guest
}

func (s *guests) add(id string, g guest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(s.known, func(_ string, g guest) bool { return now.After(g.until) })
	s.known[id] = g
}

// replace says more about a guest, and whether they are still one.
func (s *guests) replace(id string, g guest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, still := s.known[id]
	if still {
		s.known[id] = g
	}
	return still
}

// of returns who sends a request; nobody has no ID token.
func (s *guests) of(r *http.Request) guest {
	c, err := r.Cookie(guestCookie)
	if err != nil {
		return guest{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.known[c.Value]; time.Now().Before(g.until) {
		return g
	}
	return guest{}
}

// forget ends what was begun in a session of the gateway.
func (s *guests) forget(sid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.known, func(_ string, g guest) bool { return g.SID == sid })
}
