package state

import (
	"ashlar/replica/ic"
	"ashlar/replica/state/pages"
	"ashlar/replica/state/trie"
)

// MaxHistory is how many changes of a canister are kept; the specification
// guarantees 20.
const MaxHistory = 20

// Change is one entry of a canister's history (canister_info).
type Change struct {
	Time    ic.Time      `cbor:"1,keyasint"`
	Version uint64       `cbor:"2,keyasint"` // of the canister, after the change
	Origin  ic.Principal `cbor:"3,keyasint"`
	// FromCanister tells a canister's change from a user's; OriginVersion is the
	// canister's version where it said so.
	FromCanister  bool           `cbor:"4,keyasint,omitempty"`
	OriginVersion *uint64        `cbor:"5,keyasint,omitempty"`
	Kind          ChangeKind     `cbor:"6,keyasint"`
	Controllers   []ic.Principal `cbor:"7,keyasint,omitempty"`
	Environment   []byte         `cbor:"8,keyasint,omitempty"` // hash of the variables, at creation
	Mode          string         `cbor:"9,keyasint,omitempty"` // install, reinstall, upgrade
	ModuleHash    []byte         `cbor:"10,keyasint,omitempty"`
	Snapshot      *LoadedFrom    `cbor:"11,keyasint,omitempty"`
}

// LoadedFrom says which snapshot was loaded.
type LoadedFrom struct {
	ID       []byte         `cbor:"1,keyasint"`
	Canister *ic.CanisterID `cbor:"2,keyasint,omitempty"` // where another's
	Version  uint64         `cbor:"3,keyasint"`
	Taken    ic.Time        `cbor:"4,keyasint"`
	Uploaded bool           `cbor:"5,keyasint,omitempty"`
}

// ChangeKind of a Change.
type ChangeKind uint8

// The kinds of change.
const (
	Creation          ChangeKind = 1
	CodeUninstall     ChangeKind = 2
	CodeDeployment    ChangeKind = 3
	LoadSnapshot      ChangeKind = 4
	ControllersChange ChangeKind = 5
)

// Remember appends to the history and drops the oldest beyond MaxHistory.
func (c *Canister) Remember(ch *Change) {
	c.Changes++
	old := c.History
	if len(old) >= MaxHistory {
		old = old[len(old)-MaxHistory+1:]
	}
	c.History = append(append(make([]*Change, 0, len(old)+1), old...), ch)
}

// HistoryBytes is what canister_status counts for the history.
func (c *Canister) HistoryBytes() (n uint64) {
	for _, ch := range c.History {
		n += uint64(112 + 29*len(ch.Controllers) + len(ch.ModuleHash))
	}
	return n
}

// Snapshot is a canister's code and memories as they were at one time.
type Snapshot struct {
	Taken       ic.Time    `cbor:"1,keyasint"`
	Version     uint64     `cbor:"2,keyasint"`
	Uploaded    bool       `cbor:"3,keyasint,omitempty"`
	Certified   []byte     `cbor:"4,keyasint,omitempty"`
	Timer       *ic.Time   `cbor:"5,keyasint,omitempty"` // 0 in it: inactive; nil: unknown
	LowMemory   *HookState `cbor:"6,keyasint,omitempty"`
	Size        uint64     `cbor:"7,keyasint"`
	Module      *Module    `cbor:"8,keyasint,omitempty"`
	Globals     []Global   `cbor:"9,keyasint,omitempty"`
	HeapBytes   uint64     `cbor:"10,keyasint,omitempty"`
	StableBytes uint64     `cbor:"11,keyasint,omitempty"`
	// CodeBytes is the length of the module; Upload holds it where it was uploaded.
	CodeBytes uint64 `cbor:"12,keyasint,omitempty"`

	Memory *Memory          `cbor:"-"`
	Upload pages.Map        `cbor:"-"`
	Chunks trie.Map[*Chunk] `cbor:"-"`
}
