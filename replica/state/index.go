package state

import (
	"encoding/binary"

	"ashlar/replica/ic"
	"ashlar/replica/state/trie"
)

// reindex moves the indexes from a canister's old version to its new one;
// either may be nil.
func (d *Draft) reindex(old, now *Canister) {
	s := d.s
	id := ""
	if now != nil {
		id = string(now.ID.Principal)
	} else if old != nil {
		id = string(old.ID.Principal)
	} else {
		return
	}
	set := func(m *trie.Map[struct{}], key string, was, is bool) {
		if is && !was {
			m.Set(s.owner, key, struct{}{})
		} else if was && !is {
			m.Unset(s.owner, key)
		}
	}
	set(&s.ready, id, old != nil && old.Queue.Len() > 0, now != nil && now.Queue.Len() > 0)
	set(&s.beating, id, old.beats(), now.beats())
	set(&s.stopping, id, old != nil && old.Run == Stopping, now != nil && now.Run == Stopping)
	set(&s.long, id, old != nil && old.Long != nil, now != nil && now.Long != nil)
	if a, b := old.timer(), now.timer(); a != b {
		set(&s.timers, timeKey(a, id), a != 0, false)
		set(&s.timers, timeKey(b, id), false, b != 0)
	}
	d.reindexCallbacks(id, old, now)
	d.recount(old, now)
}

func (c *Canister) beats() bool {
	return c != nil && c.Module != nil && (c.Module.HasHeartbeat || c.LowMemory == HookReady)
}

func (c *Canister) timer() ic.Time {
	if c == nil || c.Module == nil || !c.Module.HasTimer {
		return 0
	}
	return c.Timer
}

func (d *Draft) reindexCallbacks(id string, old, now *Canister) {
	var a, b trie.Map[*Callback]
	if old != nil {
		a = old.Callbacks
	}
	if now != nil {
		b = now.Callbacks
	}
	b.Diff(a, func(c trie.Change[*Callback]) bool {
		if c.HadOld && c.Old.Deadline != 0 {
			d.s.deadlines.Unset(d.s.owner, timeKey(c.Old.Deadline, id+c.Key))
		}
		if c.HasNew && c.New.Deadline != 0 && !c.New.Answered {
			d.s.deadlines.Set(d.s.owner, timeKey(c.New.Deadline, id+c.Key), struct{}{})
		}
		return true
	})
}

// recount keeps the number of users of code and the bytes of all memories.
func (d *Draft) recount(old, now *Canister) {
	var a, b *Module
	if old != nil {
		a = old.Module
		d.bytes -= int64(old.MemoryUsage())
		d.Head.Taken -= old.MemoryTaken()
		d.Head.Compute -= old.Settings.ComputeAllocation
		d.Head.Guaranteed -= old.Guaranteed()
		d.Head.BestEffort -= old.BestEffort()
		d.Head.Open -= uint64(old.Callbacks.Len())
		d.Head.Sections -= old.Module.SectionBytes()
	}
	if now != nil {
		b = now.Module
		d.bytes += int64(now.MemoryUsage())
		d.Head.Taken += now.MemoryTaken()
		d.Head.Compute += now.Settings.ComputeAllocation
		d.Head.Guaranteed += now.Guaranteed()
		d.Head.BestEffort += now.BestEffort()
		d.Head.Open += uint64(now.Callbacks.Len())
		d.Head.Sections += now.Module.SectionBytes()
	}
	if a != b {
		if b != nil {
			d.useCode(b.Hash, 1)
		}
		if a != nil {
			d.useCode(a.Hash, -1)
		}
	}
	if was, is := old.longCode(), now.longCode(); was != is {
		if is != "" {
			d.useCode([32]byte([]byte(is)), 1)
		}
		if was != "" {
			d.useCode([32]byte([]byte(was)), -1)
		}
	}
	var x, y trie.Map[*Snapshot]
	if old != nil {
		x = old.Snapshots
	}
	if now != nil {
		y = now.Snapshots
	}
	y.Diff(x, func(c trie.Change[*Snapshot]) bool {
		if c.HasNew && c.New.Module != nil {
			d.useCode(c.New.Module.Hash, 1)
		}
		if c.HadOld && c.Old.Module != nil {
			d.useCode(c.Old.Module.Hash, -1)
		}
		return true
	})
}

// ChunkBytes is what each stored chunk costs, whatever its length.
const ChunkBytes = 1 << 20

// MemoryUsage is the canister's memory in bytes, all kinds together.
func (c *Canister) MemoryUsage() uint64 {
	n := c.HeapBytes + c.StableBytes + c.HistoryBytes() + uint64(c.Chunks.Len())*ChunkBytes + c.SnapshotBytes() + c.LogStoreBytes()
	if c.Module != nil {
		n += c.Module.Bytes + c.Module.SectionBytes() + 8*uint64(len(c.Memory.Globals))
	}
	return n
}

// MemoryTaken is the memory that nobody else can have: what is used, or allocated.
func (c *Canister) MemoryTaken() uint64 { return max(c.MemoryUsage(), c.Settings.MemoryAllocation) }

// SnapshotBytes is the memory of all snapshots.
func (c *Canister) SnapshotBytes() (n uint64) {
	c.Snapshots.Each(func(_ string, s *Snapshot) bool {
		n += s.Size
		return true
	})
	return n
}

// Ready are the canisters that have messages, in order of id.
func (d *Draft) Ready() []ic.CanisterID { return ids(d.s.ready) }

// Beating are the canisters with a heartbeat or a low-memory hook to run.
func (d *Draft) Beating() []ic.CanisterID { return ids(d.s.beating) }

// Stopping are the canisters that wait to be stopped.
func (d *Draft) Stopping() []ic.CanisterID { return ids(d.s.stopping) }

// Long are the canisters in the middle of a long execution.
func (d *Draft) Long() []ic.CanisterID { return ids(d.s.long) }

func ids(m trie.Map[struct{}]) []ic.CanisterID {
	out := make([]ic.CanisterID, 0, m.Len())
	m.Each(func(key string, _ struct{}) bool {
		out = append(out, ic.CanisterID{Principal: ic.Principal(key)})
		return true
	})
	return out
}

// Due are the canisters whose timer is at or before now, earliest first.
func (d *Draft) Due(now ic.Time) (out []ic.CanisterID) {
	d.s.timers.Each(func(key string, _ struct{}) bool {
		if ic.Time(binary.BigEndian.Uint64([]byte(key))) > now {
			return false
		}
		out = append(out, ic.CanisterID{Principal: ic.Principal(key[8:])})
		return true
	})
	return out
}

// Expired is a callback whose deadline has passed without an answer.
type Expired struct {
	Canister ic.CanisterID
	Callback uint64
}

// Expired callbacks, earliest first.
func (d *Draft) Expired(now ic.Time) (out []Expired) {
	d.s.deadlines.Each(func(key string, _ struct{}) bool {
		if ic.Time(binary.BigEndian.Uint64([]byte(key))) > now {
			return false
		}
		id, cb := key[8:len(key)-8], key[len(key)-8:]
		out = append(out, Expired{ic.CanisterID{Principal: ic.Principal(id)}, Number(cb)})
		return true
	})
	return out
}
