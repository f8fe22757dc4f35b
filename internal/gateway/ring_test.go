package gateway_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/internal/config"
	"promess/authgw/internal/gateway"
	"promess/authgw/internal/keyring"
	"promess/authgw/internal/pgtest"
)

// published are the ids of the keys that a gateway publishes, in order.
func (r *running) published(t *testing.T) []string {
	t.Helper()
	status, _, body := r.person(t, nil).visit(http.MethodGet, auth+"/oauth/keys")
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(body), &set); err != nil || status != http.StatusOK {
		t.Fatalf("keys = %d, %v", status, err)
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.KeyID)
	}
	return ids
}

// rotate replaces a key as 'authgw keys rotate' does.
func (f *files) rotate(t *testing.T, alg string, atOnce bool) keyring.Rotation {
	t.Helper()
	keys, err := config.LoadSealKeys(f.config.SealKeys)
	if err != nil {
		t.Fatal(err)
	}
	st, err := gateway.OpenStore(t.Context(), f.config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ring, err := keyring.Open(t.Context(), st, keys, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	done, err := ring.Rotate(t.Context(), alg, atOnce)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// A key that an administrator replaces is taken by gateways that run, without a restart: published at once beside the old one, and after a
// compromise alone.
func TestRotationReachesGatewaysThatRun(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { testRotation(t, newFiles(t)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		f := newFiles(t)
		f.config.Database = pgtest.Database(t)
		testRotation(t, f)
	})
}

func testRotation(t *testing.T, f *files) {
	f.write(t, "seal.keys", sealKey("k1"))
	f.config.SealKeys = f.path("seal.keys")
	one, two := f.run(t), f.run(t)
	old := one.published(t)
	if len(old) != 1 || !slices.Equal(two.published(t), old) {
		t.Fatalf("the gateways publish %q and %q, want one key, the same", old, two.published(t))
	}
	next := f.rotate(t, keyring.ES256, false)
	for _, r := range []*running{one, two} { // the key in use comes first
		eventually(t, "both keys published", func() bool { return slices.Equal(r.published(t), []string{old[0], next.ID}) })
	}
	last := f.rotate(t, keyring.ES256, true)
	for _, r := range []*running{one, two} {
		eventually(t, "the withdrawn keys gone", func() bool { return slices.Equal(r.published(t), []string{last.ID}) })
	}
	for _, r := range []*running{one, two} {
		r.cancel()
	}
	if again := f.run(t).published(t); !slices.Equal(again, []string{last.ID}) {
		t.Errorf("after a restart %q is published, want %q", again, last.ID)
	}
}

// The key file may be replaced while a gateway runs, and the old line taken away then: keys are sealed anew, and stay what they are.
func TestKeysOutliveTheKeyFile(t *testing.T) {
	f := newFiles(t)
	first := sealKey("k1")
	f.write(t, "seal.keys", first)
	f.config.SealKeys = f.path("seal.keys")
	r, hangup := f.serve(t)
	old := r.published(t)
	second := sealKey("k2")
	for i, file := range [][]byte{slices.Concat(second, first), second} {
		f.replace(t, "seal.keys", file)
		hangup <- os.Interrupt
		eventually(t, "reloaded", func() bool { return r.reloads() > i })
		if got := r.published(t); !slices.Equal(got, old) {
			t.Errorf("with key file %d %q is published, want %q as before", i, got, old)
		}
	}
	if again := f.run(t).published(t); !slices.Equal(again, old) {
		t.Errorf("with the new line alone a gateway publishes %q at its start, want %q", again, old)
	}
	if strings.Contains(r.log.String(), strings.Fields(string(first))[1]) {
		t.Error("a key of the key file is in the log")
	}
}

// A gateway that is given a key file while it runs takes the keys of the database, and what it has signed before counts still.
func TestKeyFileIsGivenToAGatewayThatRuns(t *testing.T) {
	f := newFiles(t)
	r, hangup := f.serve(t)
	before := r.published(t)
	f.write(t, "seal.keys", sealKey("k1"))
	f.config.SealKeys = f.path("seal.keys")
	f.save(t)
	hangup <- os.Interrupt
	eventually(t, "reloaded", func() bool { return r.reloads() > 0 })
	after := r.published(t)
	if len(after) != 2 || after[0] == before[0] || after[1] != before[0] {
		t.Errorf("published are %q, want a new key and %q", after, before)
	}
	if again := f.run(t).published(t); !slices.Equal(again, after[:1]) {
		t.Errorf("another gateway publishes %q, want %q", again, after[:1])
	}
}

// A start is quick because the key of RS256, which takes long to make, is not made before somebody needs it.
func TestStartMakesNoKeyOfRS256(t *testing.T) {
	f := newFiles(t)
	f.write(t, "seal.keys", sealKey("k1"))
	f.config.SealKeys = f.path("seal.keys")
	g, err := f.open(t, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	st, err := gateway.OpenStore(t.Context(), f.config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	all, err := keyring.List(t.Context(), st, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var algs []string
	for _, k := range all {
		algs = append(algs, k.Alg)
	}
	if want := []string{"ES256", "cookie", "pairwise"}; !slices.Equal(algs, want) {
		t.Errorf("a start makes keys for %q, want %q", algs, want)
	}
}
