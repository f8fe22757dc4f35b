package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// lines writes events to a writer, one line and one write each.
type lines struct {
	mu   sync.Mutex
	w    io.Writer
	torn bool // the last write ended within a line
}

// record writes events with the time of now. The clock is read in the order of the lines.
func (l *lines) record(now func() time.Time, events ...Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := now().UTC()
	for _, e := range events {
		e.Time = at
		line, err := json.Marshal(e.clean())
		if err == nil {
			err = l.write(line)
		}
		if err != nil {
			return fmt.Errorf("write audit event: %w", err)
		}
	}
	return nil
}

// print writes what was recorded elsewhere.
func (l *lines) print(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(line)
}

func (l *lines) write(line []byte) error {
	line = append(line[:len(line):len(line)], '\n')
	if l.torn { // a full disk, say: what was cut off must not take this event with it
		line = append([]byte{'\n'}, line...)
	}
	n, err := l.w.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	if n > 0 {
		l.torn = n < len(line)
	}
	return err
}
