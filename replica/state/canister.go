package state

import (
	"encoding/binary"

	"ashlar/replica/ic"
	"ashlar/replica/state/merkle"
	"ashlar/replica/state/pages"
	"ashlar/replica/state/trie"
	"ashlar/replica/wire/hashtree"
)

// Run tells whether a canister takes messages.
type Run uint8

// The running states; the numbers are those of ic0.canister_status.
const (
	Running  Run = 1
	Stopping Run = 2
	Stopped  Run = 3
)

func (r Run) String() string {
	switch r {
	case Running:
		return "running"
	case Stopping:
		return "stopping"
	}
	return "stopped"
}

// Canister is one version of a canister. Nobody changes it once it was put into
// a Draft: copy the struct, change the copy, put that. All it refers to is
// shared between versions.
type Canister struct {
	ID ic.CanisterID
	Record
	Module    *Module // nil: empty
	Memory    *Memory // never nil
	Contexts  trie.Map[*CallContext]
	Callbacks trie.Map[*Callback]
	Queue     trie.Map[*Message]
	Chunks    trie.Map[*Chunk] // by SHA-256
	Snapshots trie.Map[*Snapshot]
	Logs      trie.Map[*LogRecord]
	History   []*Change // the newest ones

	pending    trie.Map[int] // open callbacks by callee
	guaranteed int           // open callbacks whose response is guaranteed
	queued     weight        // of the messages in Queue
	line       line          // who sent them
	digest     [32]byte      // in the certified tree, of what it shows
	shown      shown
	sum        merkle.Sum // set once the version is in a sealed state
	past       historySum
}

// Record is the small part of a canister that nearly every message changes.
type Record struct {
	Run       Run        `cbor:"1,keyasint"`
	StopCalls []StopCall `cbor:"2,keyasint,omitempty"`
	Settings  Settings   `cbor:"3,keyasint"`
	Cycles    ic.Cycles  `cbor:"4,keyasint"`
	Reserved  ic.Cycles  `cbor:"5,keyasint"`
	Version   uint64     `cbor:"6,keyasint"`
	Certified []byte     `cbor:"7,keyasint,omitempty"`
	Timer     ic.Time    `cbor:"8,keyasint,omitempty"` // 0: inactive
	// Next ids: of call contexts, callbacks, queue places, log records.
	NextContext  uint64 `cbor:"9,keyasint,omitempty"`
	NextCallback uint64 `cbor:"10,keyasint,omitempty"`
	NextPlace    uint64 `cbor:"11,keyasint,omitempty"`
	NextLog      uint64 `cbor:"12,keyasint,omitempty"`
	NextSnapshot uint64 `cbor:"13,keyasint,omitempty"`
	LogBytes     uint64 `cbor:"14,keyasint,omitempty"`
	// Created and Installed are when the id came to be and when code last changed.
	Created   ic.Time `cbor:"15,keyasint"`
	Installed ic.Time `cbor:"16,keyasint,omitempty"`
	Charged   ic.Time `cbor:"17,keyasint"` // until when storage is paid
	// LowMemory is the state of the on-low-wasm-memory hook.
	LowMemory HookState `cbor:"18,keyasint,omitempty"`
	Changes   uint64    `cbor:"19,keyasint"` // history entries ever made
	Consumed  Consumed  `cbor:"20,keyasint"`
	// LastRound is the height at which the canister last had its turn first.
	LastRound   ic.Height `cbor:"21,keyasint,omitempty"`
	Stats       Stats     `cbor:"22,keyasint"`
	HeapBytes   uint64    `cbor:"23,keyasint,omitempty"`
	StableBytes uint64    `cbor:"24,keyasint,omitempty"`
	Heartbeats  ic.Height `cbor:"25,keyasint,omitempty"` // height of the last turn that began with tasks
	// Long is set in the middle of an execution that spans rounds.
	Long *Long `cbor:"26,keyasint,omitempty"`
	// Credit is what a compute allocation has saved up, see execution/scheduler.
	Credit uint64 `cbor:"27,keyasint,omitempty"`
	// Debits are what was done too fast, as of the height DebitAt: bytes written, and
	// instructions of installations, see execution/canister/rates.go.
	HeapDebit    uint64    `cbor:"28,keyasint,omitempty"`
	InstallDebit uint64    `cbor:"29,keyasint,omitempty"`
	DebitAt      ic.Height `cbor:"30,keyasint,omitempty"`
	// Reports are what nodes said of queries in the epoch, see queried.go.
	Reports     []Report `cbor:"31,keyasint,omitempty"`
	ReportEpoch uint64   `cbor:"32,keyasint,omitempty"`
}

// HookState of canister_on_low_wasm_memory.
type HookState uint8

// The hook's states.
const (
	HookIdle     HookState = 0 // the condition is not satisfied
	HookReady    HookState = 1 // to be run
	HookExecuted HookState = 2 // ran, and the memory is still low
)

// Stats of queries, as canister_status shows them.
type Stats struct {
	Calls         uint64 `cbor:"1,keyasint,omitempty"`
	Instructions  uint64 `cbor:"2,keyasint,omitempty"`
	RequestBytes  uint64 `cbor:"3,keyasint,omitempty"`
	ResponseBytes uint64 `cbor:"4,keyasint,omitempty"`
}

// Consumed cycles by use, as canister_metrics shows them.
type Consumed struct {
	Memory       ic.Cycles `cbor:"1,keyasint"`
	Compute      ic.Cycles `cbor:"2,keyasint"`
	Ingress      ic.Cycles `cbor:"3,keyasint"`
	Instructions ic.Cycles `cbor:"4,keyasint"`
	Transmission ic.Cycles `cbor:"5,keyasint"`
	Uninstall    ic.Cycles `cbor:"6,keyasint"`
	Creation     ic.Cycles `cbor:"7,keyasint"`
	Outcalls     ic.Cycles `cbor:"8,keyasint"`
	Burned       ic.Cycles `cbor:"9,keyasint"`
}

// Settings of a canister (management canister, create_canister).
type Settings struct {
	Controllers       []ic.Principal `cbor:"1,keyasint"` // sorted, distinct
	ComputeAllocation uint64         `cbor:"2,keyasint,omitempty"`
	MemoryAllocation  uint64         `cbor:"3,keyasint,omitempty"`
	FreezingThreshold uint64         `cbor:"4,keyasint"`
	ReservedLimit     ic.Cycles      `cbor:"5,keyasint"`
	MinimumCallCycles ic.Cycles      `cbor:"6,keyasint"`
	MemoryLimit       uint64         `cbor:"7,keyasint,omitempty"`
	MemoryThreshold   uint64         `cbor:"8,keyasint,omitempty"`
	LogVisibility     Visibility     `cbor:"9,keyasint"`
	SnapshotsVisible  Visibility     `cbor:"10,keyasint"`
	StatusVisibility  Visibility     `cbor:"11,keyasint"`
	LogLimit          uint64         `cbor:"12,keyasint"`
	Environment       []Variable     `cbor:"13,keyasint,omitempty"` // sorted by name
}

// Variable of a canister's environment.
type Variable struct {
	Name  string `cbor:"1,keyasint"`
	Value string `cbor:"2,keyasint"`
}

// Visibility says who besides the controllers may see something.
type Visibility struct {
	Public  bool           `cbor:"1,keyasint,omitempty"`
	Viewers []ic.Principal `cbor:"2,keyasint,omitempty"`
}

// Allows tells whether p may see what controllers see anyway.
func (v Visibility) Allows(p ic.Principal) bool {
	for _, q := range v.Viewers {
		if p == q {
			return true
		}
	}
	return v.Public
}

// Controls tells whether p is a controller.
func (s *Settings) Controls(p ic.Principal) bool {
	for _, q := range s.Controllers {
		if p == q {
			return true
		}
	}
	return false
}

// Module is installed code. The code itself lies in the State, once for all
// canisters that run it.
type Module struct {
	Hash         [32]byte  `cbor:"1,keyasint"` // of the code as uploaded
	Sections     []Section `cbor:"2,keyasint,omitempty"`
	Memory64     bool      `cbor:"3,keyasint,omitempty"`
	HasHeartbeat bool      `cbor:"4,keyasint,omitempty"`
	HasTimer     bool      `cbor:"5,keyasint,omitempty"`
	HasLowMemory bool      `cbor:"6,keyasint,omitempty"`
	Bytes        uint64    `cbor:"7,keyasint"` // length as uploaded

	metadata *hashtree.Tree
	sum      merkle.Sum
}

// Section is a custom section icp:public NAME or icp:private NAME.
type Section struct {
	Name    string `cbor:"1,keyasint"`
	Public  bool   `cbor:"2,keyasint,omitempty"`
	Content []byte `cbor:"3,keyasint,omitempty"`
}

// NewModule sorts nothing: sections come in order of name.
func NewModule(m Module) *Module {
	m.seal()
	return &m
}

func (m *Module) seal() {
	var entries []hashtree.Entry
	for _, s := range m.Sections {
		entries = append(entries, hashtree.Entry{Label: s.Name, Tree: hashtree.NewLeaf(s.Content)})
	}
	m.metadata = hashtree.Dir(entries)
	m.sum = valueSum("", m)
}

// Section finds a custom section.
func (m *Module) Section(name string) *Section {
	for i := range m.Sections {
		if m.Sections[i].Name == name {
			return &m.Sections[i]
		}
	}
	return nil
}

// SectionBytes is the memory that the sections take; of no module none.
func (m *Module) SectionBytes() (n uint64) {
	if m == nil {
		return 0
	}
	for _, s := range m.Sections {
		n += uint64(len(s.Name) + len(s.Content))
	}
	return n
}

// Memory is what a canister's code has written. A new value is a new version:
// the pointer identifies it.
type Memory struct {
	Heap, Stable pages.Map
	Globals      []Global
}

// Global is a mutable global's bits; Type is the byte of its Wasm type.
type Global struct {
	Type byte   `cbor:"1,keyasint"`
	Lo   uint64 `cbor:"2,keyasint,omitempty"`
	Hi   uint64 `cbor:"3,keyasint,omitempty"`
}

// Origin is who is to be answered.
type Origin struct {
	Kind     Kind           `cbor:"1,keyasint"`
	Caller   ic.Principal   `cbor:"2,keyasint"`
	Request  ic.RequestID   `cbor:"3,keyasint,omitempty"` // of ingress
	Callback uint64         `cbor:"4,keyasint,omitempty"` // of the calling canister
	Deadline ic.Time        `cbor:"5,keyasint,omitempty"` // 0: guaranteed response
	Info     *ic.SenderInfo `cbor:"6,keyasint,omitempty"`
}

// Kind of a message.
type Kind uint8

// The kinds of message, and of the origin of a call context.
const (
	Ingress  Kind = 1
	Request  Kind = 2
	Response Kind = 3
	Task     Kind = 4 // heartbeat, timer, low-memory hook: answers nobody
)

// Message waits in a canister's or in the subnet's queue.
type Message struct {
	Origin  Origin        `cbor:"1,keyasint"` // Kind Response: Callback is the receiver's own
	Callee  ic.CanisterID `cbor:"2,keyasint"`
	Method  string        `cbor:"3,keyasint,omitempty"`
	Arg     []byte        `cbor:"4,keyasint,omitempty"`
	Cycles  ic.Cycles     `cbor:"5,keyasint"` // attached, or refunded
	Reject  *ic.Reject    `cbor:"6,keyasint,omitempty"`
	Expiry  ic.Time       `cbor:"7,keyasint,omitempty"`
	Arrived ic.Height     `cbor:"8,keyasint,omitempty"`
	// Target is the canister that handles an ingress call to the management canister.
	Target ic.CanisterID `cbor:"9,keyasint"`
	// Version of the canister that calls the management canister, as it was when it did.
	Version uint64 `cbor:"10,keyasint,omitempty"`
}

// CallContext is a call that a canister works on.
type CallContext struct {
	Origin       Origin    `cbor:"1,keyasint"`
	Responded    bool      `cbor:"2,keyasint,omitempty"`
	Deleted      bool      `cbor:"3,keyasint,omitempty"` // code was uninstalled
	Available    ic.Cycles `cbor:"4,keyasint"`
	Instructions uint64    `cbor:"5,keyasint,omitempty"`
	Open         uint64    `cbor:"6,keyasint,omitempty"` // callbacks not yet answered
	Started      ic.Time   `cbor:"7,keyasint"`
}

// Callback waits for the response to a call that a canister made.
type Callback struct {
	Context      uint64       `cbor:"1,keyasint"`
	Callee       ic.Principal `cbor:"2,keyasint"`
	ReplyFunc    uint64       `cbor:"3,keyasint,omitempty"`
	ReplyEnv     uint64       `cbor:"4,keyasint,omitempty"`
	RejectFunc   uint64       `cbor:"5,keyasint,omitempty"`
	RejectEnv    uint64       `cbor:"6,keyasint,omitempty"`
	HasCleanup   bool         `cbor:"7,keyasint,omitempty"`
	CleanupFunc  uint64       `cbor:"8,keyasint,omitempty"`
	CleanupEnv   uint64       `cbor:"9,keyasint,omitempty"`
	Deadline     ic.Time      `cbor:"10,keyasint,omitempty"`
	Sent         ic.Cycles    `cbor:"11,keyasint"` // attached to the call
	PaidRun      ic.Cycles    `cbor:"12,keyasint"` // set aside to run the callback
	PaidTransmit ic.Cycles    `cbor:"13,keyasint"` // set aside for the response's bytes
	Answered     bool         `cbor:"14,keyasint,omitempty"`
}

// StopCall waits for a canister to stop.
type StopCall struct {
	Origin Origin    `cbor:"1,keyasint"`
	Cycles ic.Cycles `cbor:"2,keyasint"`
	Since  ic.Time   `cbor:"3,keyasint"`
}

// LogRecord is one line of a canister's log.
type LogRecord struct {
	Time    ic.Time `cbor:"1,keyasint"`
	Content []byte  `cbor:"2,keyasint"`
}

// ID is the key of a call context, callback, queue place or log record.
func ID(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

// Number is the inverse of ID.
func Number(key string) uint64 { return binary.BigEndian.Uint64([]byte(key)) }

// Push puts a message at the end of the canister's queue.
func (c *Canister) Push(m *Message) { c.push(trie.Nobody, m) }

func (c *Canister) push(own trie.Owner, m *Message) {
	key := c.line.next(c.Queue, m, c.NextPlace)
	c.Queue.Set(own, key, m)
	c.NextPlace++
	c.queued.add(m)
	c.line = c.line.joined(key, m)
}

// Take removes a message from the canister's queue.
func (c *Canister) Take(key string) {
	if m, ok := c.Queue.Get(key); ok {
		c.Queue = c.Queue.Without(key)
		c.queued.remove(m)
		c.line = c.line.left(key, m, c.Queue)
	}
}

// Swap puts another message of the same sender at the place of one.
func (c *Canister) Swap(key string, m *Message) {
	if old, ok := c.Queue.Get(key); ok {
		c.queued.remove(old)
		c.queued.add(m)
		c.Queue = c.Queue.With(key, m)
	}
}

// Pending is the number of calls to callee that are not yet worked off.
func (c *Canister) Pending(callee ic.Principal) int {
	n, _ := c.pending.Get(string(callee))
	return n
}

// AddCallback registers a callback and returns its id.
func (c *Canister) AddCallback(cb *Callback) uint64 {
	id := c.NextCallback
	c.NextCallback++
	c.Callbacks = c.Callbacks.With(ID(id), cb)
	c.open(cb)
	return id
}

// open counts a callback that was added.
func (c *Canister) open(cb *Callback) {
	c.pending = c.pending.With(string(cb.Callee), c.Pending(cb.Callee)+1)
	if cb.Deadline == 0 {
		c.guaranteed++
	}
}

// ResponseBytes is the room kept for the response to a call that is sure to come:
// as much as the largest one takes.
const ResponseBytes = 2 << 20

// MessageBytes is the memory that c's calls take besides its own: the room kept
// for guaranteed responses.
func (c *Canister) MessageBytes() uint64 { return uint64(c.guaranteed) * ResponseBytes }

// weight is the memory of messages, in bytes: of guaranteed calls what exceeds the
// room kept for them, and of best-effort calls all.
type weight struct{ guaranteed, bestEffort uint64 }

// messageOverhead is what a message takes besides its content.
const messageOverhead = 256

// Bytes is the memory that a message takes.
func (m *Message) Bytes() uint64 {
	n := messageOverhead + uint64(len(m.Method)+len(m.Arg))
	if m.Reject != nil {
		n += uint64(len(m.Reject.Message))
	}
	return n
}

// BestEffort tells whether a message belongs to a call whose response may be dropped.
func (m *Message) BestEffort() bool {
	return m.Origin.Deadline != 0 && (m.Origin.Kind == Request || m.Origin.Kind == Response)
}

func (m *Message) weight() (w weight) {
	switch n := m.Bytes(); {
	case m.BestEffort():
		w.bestEffort = n
	case m.Origin.Kind == Request:
		w.guaranteed = n - min(n, ResponseBytes)
	}
	return w
}

func (w *weight) add(m *Message) {
	more := m.weight()
	w.guaranteed, w.bestEffort = w.guaranteed+more.guaranteed, w.bestEffort+more.bestEffort
}

func (w *weight) remove(m *Message) {
	less := m.weight()
	w.guaranteed, w.bestEffort = w.guaranteed-less.guaranteed, w.bestEffort-less.bestEffort
}

// Guaranteed is the memory of c's messages that nobody may drop, and of those that
// must have room when they come, in bytes.
func (c *Canister) Guaranteed() uint64 { return c.MessageBytes() + c.queued.guaranteed }

// BestEffort is the memory of c's messages that may be dropped, in bytes.
func (c *Canister) BestEffort() uint64 { return c.queued.bestEffort }

// RemoveCallback forgets a callback.
func (c *Canister) RemoveCallback(id uint64) {
	cb, ok := c.Callbacks.Get(ID(id))
	if !ok {
		return
	}
	c.Callbacks = c.Callbacks.Without(ID(id))
	if cb.Deadline == 0 {
		c.guaranteed--
	}
	if n := c.Pending(cb.Callee) - 1; n > 0 {
		c.pending = c.pending.With(string(cb.Callee), n)
	} else {
		c.pending = c.pending.Without(string(cb.Callee))
	}
}

// Log appends a record and drops the oldest beyond the limit in bytes.
func (c *Canister) Log(now ic.Time, content []byte) {
	limit := c.Settings.LogLimit
	size := logBytes(content)
	if size > limit {
		if limit <= logOverhead {
			c.NextLog++
			return
		}
		content = content[:limit-logOverhead]
		size = limit
	}
	c.Logs = c.Logs.With(ID(c.NextLog), &LogRecord{now, content})
	c.NextLog++
	c.LogBytes += size
	for c.LogBytes > limit {
		key, old, _ := c.Logs.First()
		c.Logs = c.Logs.Without(key)
		c.LogBytes -= logBytes(old.Content)
	}
}

const (
	// DefaultLogLimit of a new canister, in bytes (spec: log_memory_limit).
	DefaultLogLimit = 4096
	logOverhead     = 20   // bytes of a record's index, time and length, counted against the limit
	logStore        = 8192 // bytes that the store takes beside its records: a header and an index
)

// LogStoreBytes is what the log takes, however much is in it.
func (c *Canister) LogStoreBytes() uint64 {
	if c.Settings.LogLimit == 0 || c.Module == nil {
		return 0
	}
	return logStore + c.Settings.LogLimit
}

// ClearLog drops all records; the numbers of those to come go on.
func (c *Canister) ClearLog() { c.Logs, c.LogBytes = trie.Map[*LogRecord]{}, 0 }

func logBytes(content []byte) uint64 { return uint64(len(content)) + logOverhead }

// TakeLog takes over the log of a copy whose other changes were dropped.
func (c *Canister) TakeLog(from *Canister) {
	c.Logs, c.NextLog, c.LogBytes = from.Logs, from.NextLog, from.LogBytes
}

// MaxHeap is the most a heap can hold where the canister sets no limit.
const MaxHeap = 4 << 30

// WatchMemory moves the state of the low-memory hook with the heap's size.
func (c *Canister) WatchMemory() {
	limit := c.Settings.MemoryLimit
	if limit == 0 || limit > MaxHeap {
		limit = MaxHeap
	}
	left := limit - min(limit, c.HeapBytes)
	switch {
	case left >= c.Settings.MemoryThreshold:
		c.LowMemory = HookIdle
	case c.LowMemory == HookIdle:
		c.LowMemory = HookReady
	}
}

// TrimLog drops the oldest records beyond the limit, after it was lowered.
func (c *Canister) TrimLog() {
	for c.LogBytes > c.Settings.LogLimit {
		key, old, _ := c.Logs.First()
		c.Logs = c.Logs.Without(key)
		c.LogBytes -= logBytes(old.Content)
	}
}

// ClearChunks empties the chunk store.
func (c *Canister) ClearChunks() { c.Chunks = trie.Map[*Chunk]{} }
