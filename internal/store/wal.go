package store

import (
	"fmt"
	"os"
)

// wal waits until all that was committed to a SQLite file is on the disk: its write-ahead log. By itself SQLite does so for each commit, or
// (synchronous=NORMAL, as here) for none, and in the second case a power cut takes the last commits with it, in their order, and leaves the
// file whole. To wait after the commit, and not in it, leaves it to each write whether it is to survive; the log of one connection holds what
// others wrote before; and nobody who writes waits for somebody else's disk. A commit that a checkpoint has moved to the file meanwhile is on
// the disk: a checkpoint waits for the log first, and for the file before the log is used again.
type wal string

// wait opens the log each time: it is the file of that name that SQLite will read.
func (w wal) wait() error {
	if w == "" {
		return nil
	}
	f, err := os.OpenFile(string(w), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("bring the write-ahead log to the disk: %w", err)
	}
	defer f.Close()
	if err := dataSync(f); err != nil {
		return fmt.Errorf("bring the write-ahead log to the disk: %w", err)
	}
	return nil
}
