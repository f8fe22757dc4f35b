package main

import "testing"

// The room grows while collections follow each other closely, never beyond the bound, and is given back when it is calm.
func TestCollectorHasRoomInAFlood(t *testing.T) {
	const kept = 20 << 20
	c := collector{percent: collectAt}
	cycles := uint64(0)
	for look, want := range []int{80, 160, 160, 160} { // 32 MiB beside 20 are 160 per cent
		cycles += 3
		if got := c.next(kept, cycles); got != want {
			t.Errorf("look %d of a flood: %d %%, want %d", look, got, want)
		}
	}
	for look := range collectCalm {
		want := 160
		if look == collectCalm-1 {
			want = collectAt
		}
		if got := c.next(kept, cycles); got != want {
			t.Fatalf("look %d without a collection: %d %%, want %d", look, got, want)
		}
	}
}

// With 100,000 sessions the room stays what the bound on memory allows.
func TestCollectorKeepsWithinItsRoom(t *testing.T) {
	c := collector{percent: collectAt}
	for look := range 10 {
		if got := c.next(75<<20, uint64(3*look)); got > 42 { // 32 MiB beside 75
			t.Errorf("look %d: %d %%, want at most 42", look, got)
		}
	}
	if got := (&collector{percent: 160}).next(200<<20, 5); got != collectAt {
		t.Errorf("beside 200 MiB: %d %%, want %d", got, collectAt)
	}
}
