package main

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strings"
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
	gcPercent   = 200 // memory is cheaper here than the collector under load
)

type memory struct{ hot, idle, code, answers uint64 } // bytes

// shareMemory sets the collector's limit, unless GOMEMLIMIT does, and says how
// much heap instances may have.
func shareMemory(log func(string, ...any)) memory {
	b, err := os.ReadFile(meminfoFile)
	total, ok := memTotal(string(b))
	if err != nil || !ok {
		log("%s does not tell the machine's memory: no limit is set", meminfoFile)
		return memory{hotAnyway, idleAnyway, codeAnyway, answerMost}
	}
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(int64(total / 100 * goShare))
	}
	return memory{total / 100 * hotShare, total / 100 * idleShare, total / 100 * codeShare, min(answerMost, total/100*answerShare)}
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
