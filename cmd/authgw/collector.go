package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// When the gateway's memory is looked through for what is not used any more, in per cent of what it keeps by which it has grown. Go's own is
// 100. Most of what is kept are sessions, which stay for long: room for as much again would mostly be empty (see bench/). But where little is
// kept and much comes and goes, as in a flood of wrong logins, that is several times a second, and each time requests wait: then there is
// more room, up to a bound.
const (
	collectAt   = 40
	collectRoom = 32 << 20 // bytes
	collectLook = time.Second
	collectCalm = 30 // looks without a collection, after which the room is given back
)

// collector sets the room of the garbage collector.
type collector struct {
	percent int
	cycles  uint64 // so far
	calm    int    // looks without one
}

// next returns the room, in per cent, when so many bytes were kept and so many collections had been made at this look.
func (c *collector) next(kept, cycles uint64) int {
	since := cycles - c.cycles
	c.cycles = cycles
	c.calm++
	if since > 0 {
		c.calm = 0
	}
	switch {
	case since > 1:
		c.percent *= 2
	case c.calm >= collectCalm:
		c.percent = collectAt
	}
	most := collectAt
	if kept > 0 {
		most = max(most, int(min(collectRoom*100/kept, 1000)))
	}
	c.percent = min(c.percent, most)
	return c.percent
}

// pace sets the room of the garbage collector until ctx ends, unless an operator has (GOGC), who knows why.
func pace(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	c := collector{percent: collectAt}
	debug.SetGCPercent(c.percent)
	go func() { // ends with ctx
		tick := time.NewTicker(collectLook)
		defer tick.Stop()
		read := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			metrics.Read(read)
			before := c.percent
			if now := c.next(read[0].Value.Uint64(), read[1].Value.Uint64()); now != before {
				debug.SetGCPercent(now)
			}
		}
	}()
}
