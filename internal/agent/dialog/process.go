package dialog

import (
	"context"
	"errors"
	"os/exec"
	"time"
)

// maxOutput bounds what is read of a dialog program, in bytes.
const maxOutput = 8 << 10

// newProcess prepares a program that is killed when ctx ends, and is not waited for longer than a second after that.
func newProcess(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	return cmd
}

var errTooMuch = errors.New("the dialog program wrote too much")

// bounded keeps what is written to it, up to maxOutput.
type bounded struct{ data []byte }

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.data)+len(p) > maxOutput {
		return 0, errTooMuch
	}
	b.data = append(b.data, p...)
	return len(p), nil
}
