package pkcs11

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// child is the parent's end of the process that runs the module.
type child struct {
	cmd      *exec.Cmd
	requests io.WriteCloser
	answers  chan answer   // closed when no more will come
	exited   chan struct{} // closed once the process is gone and waited for
	once     sync.Once
}

// startChild runs argv. Its standard error is thrown away: modules print there what they exchange with the card, PIN included.
func startChild(argv []string) (*child, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout = write
	requests, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	write.Close()
	if err != nil {
		read.Close()
		return nil, err
	}
	c := &child{cmd: cmd, requests: requests, answers: make(chan answer, 1), exited: make(chan struct{})}
	go c.read(read) // ends when the child and all its own are gone, or end() has closed the pipe
	go func() {     // ends with the process
		_ = cmd.Wait() // the state is in cmd
		// A process that the module forked may hold the other end of the pipe: what the child has written is read by then.
		_ = read.SetReadDeadline(time.Now().Add(exitTimeout))
		close(c.exited)
	}()
	return c, nil
}

func (c *child) read(pipe *os.File) {
	defer pipe.Close()
	defer close(c.answers)
	for {
		var a answer
		if readFrame(pipe, &a) != nil {
			return
		}
		c.answers <- a // has room: the child answers once per request
	}
}

// send writes a request. It does not block for long: the child always reads, and a pipe holds more than a request.
func (c *child) send(r request) error {
	defer clear(r.PIN)
	return writeFrame(c.requests, r)
}

// end closes the child's standard input, on which it exits, and kills it after grace.
func (c *child) end(grace time.Duration) {
	c.once.Do(func() { c.requests.Close() })
	if grace > 0 {
		select {
		case <-c.exited:
			return
		case <-time.After(grace):
		}
	}
	_ = c.cmd.Process.Kill() // fails when it has exited
	select {
	case <-c.exited:
	case <-time.After(time.Second): // in the kernel's hands: it ends when the device lets go
	}
}

// death says how a child that answers no more has ended.
func (c *child) death() error {
	select {
	case <-c.exited:
		return fmt.Errorf("%w: %s", ErrCrashed, c.cmd.ProcessState)
	case <-time.After(exitTimeout):
		return fmt.Errorf("%w: it closed its pipe", ErrCrashed)
	}
}

func (c *child) pid() int { return c.cmd.Process.Pid }
