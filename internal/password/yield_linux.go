package password

import (
	"os"
	"strconv"
	"syscall"
)

// niceness is that of the process that computes: a tenth of the share that the gateway has where both want a processor, so that people still
// sign in on a machine that is busy.
const niceness = 10

// yield gives this process less of the processors. On Linux the priority is a thread's, and new ones have that of the thread that starts
// them, so all that there are get it. Without it hashes are computed all the same.
func yield() {
	for range 2 { // a thread may have been started while the first look went on
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return
		}
		for _, t := range threads {
			if id, err := strconv.Atoi(t.Name()); err == nil {
				_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, niceness)
			}
		}
	}
}
