package password

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"
)

// Bounds of a process that computes hashes.
const (
	computeTimeout = 10 * time.Second // longer than the dearest hash takes on a machine that has other work
	spareTimeout   = 2 * time.Second  // for which it may be computed with what others leave of the processors
	idleTimeout    = 30 * time.Second // after which the process ends, so that it holds memory only while people sign in
)

// job is one hash to be computed.
type job struct {
	Params
	Salt     []byte
	Prepared string
	Length   int
}

// place is where one hash at a time is computed.
type place interface {
	compute(job) ([]byte, error)
}

// here is a place in this process.
type here struct{}

func (here) compute(j job) ([]byte, error) {
	return hashed{Params: j.Params, salt: j.Salt}.compute(j.Prepared, j.Length), nil
}

// apart is a place in another process, which is started when there is something to compute, and has less of the processor than whoever
// else wants it: what others leave, and where they leave nothing, a share.
type apart struct {
	argv []string
	busy *worker // nil: none runs
}

// worker is such a process.
type worker struct {
	jobs    *json.Encoder
	sums    chan []byte // is closed when the process has ended
	process *os.Process
	hurried bool
}

// compute has a hash computed. A process that has ended, as an idle one does, is replaced, and so is one that gets too little of the
// processors: each once. One that failed is never asked again: what it answers late would be taken for the answer to another job.
func (a *apart) compute(j job) (sum []byte, err error) {
	if w := a.busy; w != nil {
		if sum, err = w.compute(j); err == nil {
			return sum, nil
		}
	}
	hurried := errors.Is(err, errStarved)
	sum, err = a.anew(j, hurried)
	if errors.Is(err, errStarved) && !hurried {
		return a.anew(j, true)
	}
	return sum, err
}

// anew has a hash computed by a new process, which stays if it can.
func (a *apart) anew(j job, hurried bool) ([]byte, error) {
	a.busy = nil
	w, err := startWorker(a.argv, hurried)
	if err != nil {
		return nil, fmt.Errorf("start process for hashes: %w", err)
	}
	sum, err := w.compute(j)
	if err == nil {
		a.busy = w
	}
	return sum, err
}

// hurry, in the environment of a process that computes, says that it is to be hurried.
const hurry = "AUTHGW_HASHES=hurried"

func startWorker(argv []string, hurried bool) (*worker, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"GOMAXPROCS=1"} // it computes one at a time
	if hurried {
		cmd.Env = append(cmd.Env, hurry)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w := &worker{jobs: json.NewEncoder(in), sums: make(chan []byte, 1), process: cmd.Process, hurried: hurried}
	go func() { // ends with the process, which ends when it is idle, killed, or its input ends with this process
		defer close(w.sums)
		answers := json.NewDecoder(out)
		for {
			var sum []byte
			if answers.Decode(&sum) != nil {
				break
			}
			w.sums <- sum // has room: there is one job at a time
		}
		in.Close()
		_ = cmd.Wait() // how it ended is nothing that anybody could mend
	}()
	return w, nil
}

// They repeat nothing of a job, which has a password in it.
var (
	errNoAnswer = errors.New("the process for hashes does not answer")
	errStarved  = fmt.Errorf("%w: others leave it nothing of the processors", errNoAnswer) // of one that is not hurried
)

// compute has a hash computed, or ends the process.
func (w *worker) compute(j job) ([]byte, error) {
	patience, failed := spareTimeout, errNoAnswer
	if w.hurried {
		patience = computeTimeout
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	if err := w.jobs.Encode(j); err == nil { // the pipe holds more than a job, so this does not block
		select {
		case sum := <-w.sums:
			if len(sum) == j.Length {
				return sum, nil
			}
		case <-late.C:
			if !w.hurried {
				failed = errStarved
			}
		}
	}
	_ = w.process.Kill() // fails when it has ended
	return nil, failed
}

// Serve computes hashes for the process that started this one (see NewHasher), until in ends or there is nothing to compute for half a minute.
func Serve(in io.Reader, out io.Writer) error {
	yield(slices.Contains(os.Environ(), hurry))
	jobs, ended := make(chan job), make(chan error, 1)
	go func() { // ends with in, or with the process
		decoder := json.NewDecoder(in)
		for {
			var j job
			if err := decoder.Decode(&j); err != nil {
				ended <- err
				return
			}
			jobs <- j
		}
	}()
	sums := json.NewEncoder(out)
	for {
		select {
		case j := <-jobs:
			if !j.bearable() || j.Length < minSum || j.Length > maxSum {
				return errors.New("a job that costs too much")
			}
			sum, _ := here{}.compute(j) // has no error
			if err := sums.Encode(sum); err != nil {
				return fmt.Errorf("answer job: %w", err)
			}
		case err := <-ended:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return errors.New("read job") // not err, which may repeat it
		case <-time.After(idleTimeout):
			return nil
		}
	}
}
