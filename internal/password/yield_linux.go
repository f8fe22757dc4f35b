package password

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// niceness is that of a process that computes and was found to get nothing: a tenth of the share that the gateway has where both want a
// processor.
const niceness = 10

// yield gives this process less of the processors. On Linux the priority is a thread's, and new ones have that of the thread that starts
// them, so all that there are get it. Without it hashes are computed all the same.
//
// At first it takes only what nobody else wants (SCHED_IDLE, sched(7)): whoever wakes up beside it runs at once, while one that is merely
// nicer keeps the processor until its turn is over, which is milliseconds of somebody's request. hurried is for a machine so busy that
// nothing is left over.
func yield(hurried bool) {
	for range 2 { // a thread may have been started while the first look went on
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			switch {
			case err != nil:
			case hurried:
				_ = unix.Setpriority(unix.PRIO_PROCESS, id, niceness)
			default:
				_ = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
			}
		}
	}
}
