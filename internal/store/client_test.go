package store_test

import (
	"errors"
	"testing"
	"time"

	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// newClient is a client with a secret.
func newClient(t testing.TB, id string) client.Record {
	t.Helper()
	return client.Record{ID: id, Settings: `{"id":"` + id + `"}`, Secret: hash(t, token.Secret)}
}

// clientChanges are the ids of clients that gateways are told of.
func clientChanges(t testing.TB, s *store.Store) map[string]int {
	t.Helper()
	all, err := s.Changes(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for _, c := range all {
		if c.Kind == store.ClientChanged {
			told[c.Ref]++
		}
	}
	return told
}

func TestClientIsKeptAsItWasWritten(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		agenda, public := newClient(t, "agenda"), client.Record{ID: "Public", Settings: "{}"}
		for _, v := range []client.Record{agenda, public} {
			if err := s.AddClient(t.Context(), v, noon); err != nil {
				t.Fatal(err)
			}
		}
		agenda.Created, agenda.Updated, public.Created, public.Updated = noon, noon, noon, noon
		got, err := s.Client(t.Context(), "agenda")
		check(t, "Client", err, nil)
		diff(t, "Client", got, agenda)
		all, err := s.Clients(t.Context())
		check(t, "Clients", err, nil)
		if len(all) != 2 {
			t.Errorf("%d clients, want 2", len(all))
		}
		for _, id := range []string{"AGENDA", "public", "agend", "%", ""} {
			if _, err := s.Client(t.Context(), id); !errors.Is(err, client.ErrUnknown) {
				t.Errorf("Client(%q) = %v, want ErrUnknown", id, err)
			}
		}
		other := newClient(t, "agenda")
		check(t, "AddClient of an id that is taken", s.AddClient(t.Context(), other, noon), store.ErrExists)
		got, err = s.Client(t.Context(), "agenda")
		check(t, "Client", err, nil)
		diff(t, "client after another was refused", got, agenda)
		diff(t, "told", clientChanges(t, s), map[string]int{"agenda": 1, "Public": 1})
	})
}

func TestClientIsChangedByOneAtATime(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		v := newClient(t, "agenda")
		check(t, "AddClient", s.AddClient(t.Context(), v, noon), nil)
		before, err := s.Client(t.Context(), "agenda")
		check(t, "Client", err, nil)
		after := before
		after.Settings, after.OldSecret, after.OldUntil, after.Secret = `{"title":"x"}`, before.Secret, noon.Add(24*time.Hour), hash(t, token.Secret)
		check(t, "ChangeClient", s.ChangeClient(t.Context(), before, after, noon), nil)
		got, err := s.Client(t.Context(), "agenda")
		check(t, "Client", err, nil)
		if !got.Updated.After(noon) {
			t.Errorf("updated at %s, want later than what it was changed from", got.Updated)
		}
		after.Updated = got.Updated
		diff(t, "after the change", got, after)

		// Somebody else still has what was there before.
		late := before
		late.Settings = `{"title":"y"}`
		check(t, "ChangeClient of what was changed", s.ChangeClient(t.Context(), before, late, noon.Add(time.Hour)), store.ErrNotFound)
		got, err = s.Client(t.Context(), "agenda")
		check(t, "Client", err, nil)
		diff(t, "after a change that came too late", got, after)

		ended := got
		ended.OldSecret, ended.OldUntil = token.Hash{}, time.Time{}
		check(t, "ChangeClient", s.ChangeClient(t.Context(), got, ended, noon.Add(time.Hour)), nil)
		got, err = s.Client(t.Context(), "agenda")
		check(t, "Client", err, nil)
		ended.Updated = noon.Add(time.Hour)
		diff(t, "without the old secret", got, ended)
		diff(t, "told", clientChanges(t, s), map[string]int{"agenda": 3})
	})
}

func TestRemovedClientLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		a := account(t, s)
		session(t, s, "s1", a)
		for _, id := range []string{"agenda", "other"} {
			check(t, "AddClient", s.AddClient(t.Context(), newClient(t, id), noon), nil)
			g := store.Grant{ID: "g-" + id, Client: id, Session: "s1", SID: "s1", Body: []byte("{}"), Expires: noon.Add(time.Hour)}
			check(t, "AddGrant", s.AddGrant(t.Context(), g, nil, noon), nil)
			check(t, "Agree", s.Agree(t.Context(), a.Subject, store.Consent{Client: id, Scopes: []string{"openid"}, Agreed: noon}), nil)
			check(t, "AddRequest", s.AddRequest(t.Context(), hash(t, token.Request), store.Request{Client: id, Created: noon, Expires: noon.Add(time.Hour)}), nil)
		}
		n, err := s.RemoveClient(t.Context(), "agenda", noon)
		if n != 1 || err != nil {
			t.Errorf("RemoveClient = %d, %v, want the end of 1 grant", n, err)
		}
		if _, err := s.Client(t.Context(), "agenda"); !errors.Is(err, client.ErrUnknown) {
			t.Errorf("after its removal Client = %v, want ErrUnknown", err)
		}
		check(t, "EndGrant of the removed client", s.EndGrant(t.Context(), "g-agenda", noon), store.ErrNotFound)
		check(t, "EndGrant of the other client", s.EndGrant(t.Context(), "g-other", noon), nil)
		all, err := s.Consents(t.Context(), a.Subject)
		check(t, "Consents", err, nil)
		if len(all) != 1 || all[0].Client != "other" {
			t.Errorf("consents = %v, want that of the other client alone", all)
		}
		_, err = s.RemoveClient(t.Context(), "agenda", noon)
		check(t, "RemoveClient again", err, store.ErrNotFound)
		diff(t, "told", clientChanges(t, s), map[string]int{"agenda": 2, "other": 1})
	})
}
