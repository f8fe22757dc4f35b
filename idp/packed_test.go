package idp_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
)

// fillFields gives every field of a struct a value that no other has. What is added to a session one day is among them, and must not be
// lost in memory.
func fillFields(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	for i := range v.NumField() {
		*n++
		text := strings.Repeat("é", *n)
		switch f := v.Field(i); f.Interface().(type) {
		case string:
			f.SetString(text)
		case []string:
			f.Set(reflect.ValueOf([]string{text, text + "x"}))
		case time.Time:
			f.Set(reflect.ValueOf(start().Add(time.Duration(*n) * time.Millisecond).UTC()))
		case bool:
			f.SetBool(true)
		case store.Account:
			fillFields(t, f, n)
		default:
			t.Fatalf("the field %s has a type that this test does not know", v.Type().Field(i).Name)
		}
	}
}

func TestSessionInMemoryIsTheWholeSession(t *testing.T) {
	var whole store.Session
	n := 0
	fillFields(t, reflect.ValueOf(&whole).Elem(), &n)
	plain := store.Session{ID: "s", AMR: []string{}, AuthTime: start(), CreatedAt: start(), ExpiresAt: start(), Account: store.Account{Subject: "u"}}
	for name, v := range map[string]store.Session{"with everything": whole, "with little": plain} {
		got, id, subject, ok := idp.Packed(v)
		v.SeenAt = time.Time{} // which is kept beside it
		if diff := cmp.Diff(v, got); diff != "" || !ok {
			t.Errorf("%s, %t (-want +got):\n%s", name, ok, diff)
		}
		if id != v.ID || subject != v.Account.Subject {
			t.Errorf("%s: id %q, subject %q", name, id, subject)
		}
	}
	// What has no room is read from the database each time, and never cut.
	whole.Account.Title = strings.Repeat("x", 1<<16)
	if _, _, _, ok := idp.Packed(whole); ok {
		t.Error("a session of 64 KiB is kept")
	}
}
