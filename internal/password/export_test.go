package password

import (
	"context"
	"time"
)

// FillForTest takes every place of a Hasher.
func (h *Hasher) FillForTest() {
	for range cap(h.places) {
		<-h.places
	}
}

// LeaveForTest gives one place back.
func (h *Hasher) LeaveForTest() { h.leave(here{}) }

// EnterForTest waits for a place as a hash does.
func (h *Hasher) EnterForTest(ctx context.Context) error {
	_, err := h.enter(ctx)
	return err
}

// TakeForTest makes each hash take some time, and nothing else.
func (h *Hasher) TakeForTest(d time.Duration) {
	h.FillForTest()
	for range cap(h.places) {
		h.places <- lasting(d)
	}
}

type lasting time.Duration

func (d lasting) compute(j job) ([]byte, error) {
	time.Sleep(time.Duration(d))
	return make([]byte, j.Length), nil
}

// QueueForTest is how many may wait.
const QueueForTest = queue

// ParsedForTest says whether a text is a hash, and how it is written again.
func ParsedForTest(text string) (string, Params, error) {
	h, err := parse(text)
	return h.String(), h.Params, err
}

// ProcessForTest is the process of a Hasher of one place, which must have computed something.
func (h *Hasher) ProcessForTest() int {
	at := <-h.places
	defer h.leave(at)
	return at.(*apart).busy.process.Pid
}
