package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	gometrics "runtime/metrics"
	"strings"
	"time"
)

// What the replica makes of the machine's memory. Canister pages lie in files, of
// which the kernel keeps in memory what is used; the Go heap has those that were not
// saved yet, and the rest of the state. Heaps of instances are mapped from the files
// and take memory of their own for what was written. The rest is the kernel's.
const (
	goShare     = 40 // percent: the collector works harder before it takes more
	hotShare    = 20 // percent: heaps of the newest state's instances
	idleShare   = 10 // percent: heaps of instances kept for queries
	codeShare   = 12 // percent: compiled code; a module that is there starts in 0.1 ms, one that is not in 3
	answerShare = 2  // percent: answers of queries, to be given again
	hotAnyway   = 4 << 30
	idleAnyway  = 1 << 30
	codeAnyway  = 1 << 30
	answerMost  = 200 << 20 // as on the Internet Computer
	meminfoFile = "/proc/meminfo"

	// The heap may grow by this share before it is collected again, or by so many percent.
	gcShare = 4
	gcLeast = 100
	gcMost  = 800
	gcEvery = 5 * time.Second
)

type memory struct{ hot, idle, code, answers uint64 } // bytes

// shareMemory sets the collector's limit, unless GOMEMLIMIT does, and says how
// much heap instances may have.
func shareMemory(log func(string, ...any)) memory {
	total, ok := machineMemory()
	if !ok {
		log("%s does not tell the machine's memory: no limit is set", meminfoFile)
		return memory{hotAnyway, idleAnyway, codeAnyway, answerMost}
	}
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(int64(total / 100 * goShare))
	}
	return memory{total / 100 * hotShare, total / 100 * idleShare, total / 100 * codeShare, min(answerMost, total/100*answerShare)}
}

func machineMemory() (bytes uint64, ok bool) {
	b, err := os.ReadFile(meminfoFile)
	if err != nil {
		return 0, false
	}
	return memTotal(string(b))
}

// collect adapts the collector to what the heap holds, until ctx ends: it works the less
// the more memory is free for it. A fixed percentage would be too few for a heap of
// 50 MB that users of thousands of calls fill again and again, and too many for gigabytes.
func collect(ctx context.Context) {
	total, _ := machineMemory()
	tick := time.NewTicker(gcEvery)
	defer tick.Stop()
	live := []gometrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for ctx.Err() == nil {
		gometrics.Read(live)
		debug.SetGCPercent(gcPercent(total, live[0].Value.Uint64()))
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// gcPercent of a machine with so many bytes, 0: not known, and a heap with so many in use.
func gcPercent(total, live uint64) int {
	return int(min(max(total/100*gcShare*100/max(live, 1), gcLeast), gcMost))
}

// memTotal reads the line MemTotal, in bytes.
func memTotal(meminfo string) (bytes uint64, ok bool) {
	for line := range strings.Lines(meminfo) {
		var kib uint64
		if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kib); n == 1 && kib > 0 && kib < math.MaxInt64>>10 {
			return kib << 10, true
		}
	}
	return 0, false
}
