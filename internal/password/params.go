package password

import "fmt"

// Params is what a hash costs.
type Params struct {
	Memory  uint32 // in KiB
	Time    uint32 // passes over the memory
	Threads uint8  // lanes
}

// Default is the first choice of the OWASP Password Storage Cheat Sheet.
var Default = Params{Memory: 19 << 10, Time: 2, Threads: 1}

// Bounds of Params. The upper ones hold for what is read from the database too: a text there cannot take the gateway's memory or time.
const (
	minMemory  = 7 << 10 // KiB: the least that OWASP allows, with five passes
	maxMemory  = 256 << 10
	minTime    = 1
	maxTime    = 16
	maxThreads = 16
	minWork    = 5 * 7 << 10 // Memory × Time, of the weakest of OWASP's choices
	maxWork    = 1 << 20
)

// Check says what is wrong with parameters for new hashes.
func (p Params) Check() error {
	switch {
	case p.Memory < minMemory || p.Memory > maxMemory:
		return fmt.Errorf("a memory of %d to %d KiB expected, %d given", minMemory, maxMemory, p.Memory)
	case p.Time < minTime || p.Time > maxTime:
		return fmt.Errorf("%d to %d passes expected, %d given", minTime, maxTime, p.Time)
	case p.Threads < 1 || p.Threads > maxThreads:
		return fmt.Errorf("1 to %d threads expected, %d given", maxThreads, p.Threads)
	case p.work() < minWork:
		return fmt.Errorf("memory × passes of at least %d KiB expected, %d given", minWork, p.work())
	case p.work() > maxWork:
		return fmt.Errorf("memory × passes of at most %d KiB expected, %d given", maxWork, p.work())
	}
	return nil
}

// bearable says whether a hash that somebody made with p may be computed.
func (p Params) bearable() bool {
	return p.Threads >= 1 && p.Threads <= maxThreads && p.Time >= minTime && p.Time <= maxTime &&
		p.Memory >= 8*uint32(p.Threads) && p.Memory <= maxMemory && p.work() <= maxWork // RFC 9106, section 3.1: m is at least 8p
}

// work is what a hash costs, in KiB that are written.
func (p Params) work() uint32 { return p.Memory * p.Time }

// weaker says whether a hash with p should be made anew with now.
func (p Params) weaker(now Params) bool { return p.Memory < now.Memory || p.work() < now.work() }
