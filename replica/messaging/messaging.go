// Package messaging is the state machine of a subnet.
//
//	Batch ── Induct ──> queues ── scheduler ──> answers, calls ── Seal ──> State
//	                                                                        │
//	              Query, Inspect (many goroutines) <── reads ───────────────┘
//
// Apply is total and deterministic: equal states and batches give equal states,
// on any machine. It belongs to one goroutine. Query and Inspect may run beside
// it, on states that it has returned.
package messaging

import (
	"reflect"
	"slices"

	"ashlar/replica/execution/canister"
	"ashlar/replica/execution/cycles"
	"ashlar/replica/execution/machine"
	"ashlar/replica/execution/management"
	"ashlar/replica/execution/scheduler"
	"ashlar/replica/execution/sysapi"
	"ashlar/replica/ic"
	"ashlar/replica/ingress"
	"ashlar/replica/state"
)

// Batch is what consensus has agreed on for one height.
type Batch struct {
	Height          ic.Height
	Time            ic.Time
	Randomness      [32]byte
	Ingress         []ic.Ingress
	RegistryVersion uint64
	Nodes           int // of the subnet: costs grow with it
	// Members of the committee of this height, as the certified tree shows them, and what
	// RegistryVersion says of the subnet; without members: as in Config.Subnet.
	Members []state.Node
	Admins  []ic.Principal
	Free    bool
	// MaxCanisters on the subnet; 0: the usual.
	MaxCanisters uint64
	// Maker made the block, and Missed should have before it; for node metrics.
	Maker  ic.NodeID
	Missed []ic.NodeID
	// Uses is what the maker says that it answered queries with.
	Uses []canister.Use
}

// Config is the same on all nodes of the subnet.
type Config struct {
	// Subnet is what the registry says: id, type, ranges, nodes with their keys,
	// the subnet's and the root's public key.
	Subnet state.Subnet
	// Provisional allows canisters from nothing, and to install and write as fast as
	// one wants: networks for development only.
	Provisional bool
	// Version of the replica, for subnet_info.
	Version string
	// Capacity is how many bytes all canisters together may take; 0: what the
	// specification gives a subnet. The same on all nodes.
	Capacity uint64
	// HotBytes is how much memory the heaps of the running instances may take; 0: 4 GiB.
	HotBytes uint64
	// Pool of instances and code for queries, Cache of their answers; nil: none.
	Pool  canister.Pool
	Cache canister.Cache
	// Parallel runs n functions, which do not depend on each other, and returns when
	// all have ended; nil: one after the other. What a round does is the same either way.
	Parallel func(n int, run func(i int))
	// Statuses is how many calls may be known for further ones to be taken; 0: as on
	// mainnet. The same on all nodes.
	Statuses int
	// Answers is how many bytes the answers of ended calls may take for all of them to be
	// kept; 0: as on mainnet. The same on all nodes.
	Answers uint64
	// Limits of a round; what is zero is as on mainnet. The same on all nodes.
	Limits scheduler.Limits
}

// Machine applies batches.
type Machine struct {
	cfg    Config
	engine machine.Engine
	tip    *canister.Tip
	subnet *state.Subnet
}

// subnetCapacity is the memory of a subnet's canisters, in bytes (resource-limits.md).
const subnetCapacity = 2 << 40

// answerCapacity is that of the answers to users, in bytes (replica.md A.9).
const answerCapacity = 4 << 30

// New makes a machine on an engine whose host functions are sysapi.Functions().
func New(cfg Config, eng machine.Engine) *Machine {
	subnet := cfg.Subnet
	if cfg.HotBytes == 0 {
		cfg.HotBytes = 4 << 30
	}
	if cfg.Statuses == 0 {
		cfg.Statuses = ingress.MaxStatuses
	}
	if cfg.Answers == 0 {
		cfg.Answers = answerCapacity
	}
	cfg.Limits = cfg.Limits.OrMainnet()
	return &Machine{cfg: cfg, engine: eng, tip: canister.NewTip(eng, cfg.HotBytes), subnet: &subnet}
}

// Close ends all that runs. The machine is not to be used afterwards.
func (m *Machine) Close() { m.tip.Close() }

func (m *Machine) management(s *state.Subnet) management.Config {
	return management.Config{Provisional: m.cfg.Provisional, Version: m.cfg.Version, Admins: s.Admins}
}

func (m *Machine) sysapi(s *state.Subnet, nodes int) sysapi.Subnet {
	system := s.Type == systemSubnet
	return sysapi.Subnet{ID: m.cfg.Subnet.ID, RootKey: m.cfg.Subnet.RootKey, Costs: cycles.Schedule{Nodes: max(nodes, 1), Free: s.Free || system, System: system}}
}

// systemSubnet is the type of the subnets that run the network itself: their canisters
// pay nothing and are not held back.
const systemSubnet = "system"

// follow takes over what a batch says of the subnet.
func (m *Machine) follow(b *Batch) {
	if b.Members == nil {
		return
	}
	next := *m.subnet
	next.Nodes, next.Admins, next.Free, next.MaxCanisters = b.Members, b.Admins, b.Free, b.MaxCanisters
	if len(next.Admins) == 0 {
		next.Admins = nil
	}
	if !reflect.DeepEqual(m.subnet, &next) {
		m.subnet = &next
	}
}

// Apply executes one batch.
func (m *Machine) Apply(s *state.State, b *Batch) *state.State {
	d := s.Draft()
	d.Head.Height = b.Height
	d.Head.Time = max(b.Time, s.Time())
	d.Head.Registry = b.RegistryVersion
	d.Head.Nodes = max(b.Nodes, 1)
	m.follow(b)
	if !reflect.DeepEqual(s.Subnet(), m.subnet) {
		d.SetSubnet(m.subnet)
	}
	countBlocks(&d.Head, b)
	room := &canister.Room{Draft: d, Subnet: m.sysapi(m.subnet, d.Head.Nodes), Now: d.Head.Time, Tip: m.tip, Most: m.most(), Unlimited: m.cfg.Provisional || m.subnet.Type == systemSubnet}
	d.Forget(room.Now)
	countQueries(d, b)
	for i := range b.Ingress {
		m.induct(room, &b.Ingress[i])
	}
	round := &scheduler.Round{Room: room, Management: &management.Management{Room: room, Config: m.management(m.subnet), Randomness: b.Randomness}, Parallel: m.cfg.Parallel, Limits: m.cfg.Limits}
	round.Run()
	d.Thin(m.cfg.Answers, room.Now)
	return d.Seal()
}

// reserved of 1024 parts are for callbacks alone, 10 GiB of 2 TiB: who made a call while
// there was memory shall hear its answer.
const reserved = 5

// most is what all canisters together may take.
func (m *Machine) most() state.Means {
	all := state.Means{Memory: m.cfg.Capacity, Messages: m.cfg.Limits.Guaranteed, Calls: m.cfg.Limits.Calls, Sections: m.cfg.Limits.Sections}
	if all.Memory == 0 {
		all.Memory = subnetCapacity
	}
	all.Reserve = all.Memory / 1024 * reserved
	return all
}

// induct takes over a user's message: into a queue, or rejected at once. What was
// seen before, or comes too late, leaves no trace; nor do messages beyond twice as
// many as the state may know.
func (m *Machine) induct(r *canister.Room, msg *ic.Ingress) {
	if r.Call(msg.ID) != nil || r.NumCalls() >= 2*m.cfg.Statuses || ingress.Admissible(msg.Expiry, r.Now) != nil {
		return
	}
	full := r.NumCalls() >= m.cfg.Statuses && m.subnet.Type != systemSubnet
	callee, effective := known(r, msg.Canister), known(r, msg.Effective)
	r.SetCall(msg.ID, &state.Call{State: state.Received, Sender: msg.Sender, Callee: callee, Effective: effective, Expiry: msg.Expiry, Updated: r.Now})
	next := &state.Message{
		Origin: state.Origin{Kind: state.Ingress, Caller: msg.Sender, Request: msg.ID, Info: msg.Info},
		Callee: callee, Method: msg.Method, Arg: msg.Arg, Expiry: msg.Expiry, Arrived: r.Head.Height, Target: effective,
	}
	err := ic.Errorf(ic.IngressHistoryFull, "Maximum ingress history capacity %d reached", m.cfg.Statuses)
	if !full {
		err = accept(r, msg, next)
	}
	if err != nil {
		r.Answer(&next.Origin, ic.Reply{Reject: err.Reject()}, ic.Cycles{})
	}
}

// known is the same id as the state has it: the statuses of many calls share it.
func known(r *canister.Room, id ic.CanisterID) ic.CanisterID {
	if c := r.Canister(id); c != nil {
		return c.ID
	}
	return id
}

func accept(r *canister.Room, msg *ic.Ingress, m *state.Message) *ic.UserError {
	if msg.Canister.Principal == ic.Management {
		payer, pays, err := management.Payer(msg.Method, msg.Arg)
		if err == nil && pays {
			err = pay(r, payer, msg)
		}
		if err == nil {
			r.Enqueue(m)
		}
		return err
	}
	c := r.Canister(msg.Canister)
	if c == nil {
		return canister.NotFound(msg.Canister)
	}
	if err := canister.NotRunning(c); err != nil {
		return err
	}
	return r.Induct(c.ID, m, func(c *state.Canister) *ic.UserError { return r.PayIngress(c, msg, false) })
}

// pay lets a canister pay for a call about it to the management canister.
func pay(r *canister.Room, payer ic.CanisterID, msg *ic.Ingress) *ic.UserError {
	old := r.Canister(payer)
	if old == nil {
		return canister.NotFound(payer)
	}
	c := *old
	err := r.PayIngress(&c, msg, management.Thaws(msg.Method, msg.Arg))
	if err == nil {
		r.Put(&c)
	}
	return err
}

// maxMetricDays of node metrics are kept (node_metrics_history: 60 samples).
const maxMetricDays = 60

const day = 24 * 60 * 60 * 1e9

// countBlocks adds the batch's block to its maker's count, in a sample per UTC day.
// A day begins without the nodes that did nothing on the one before: who left the
// subnet is forgotten, and who comes back begins at zero (node_metrics_history).
func countBlocks(h *state.Head, b *Batch) {
	if b.Maker.Principal == "" {
		return
	}
	old := h.Metrics
	last := state.DayMetrics{}
	if n := len(old); n > 0 {
		last = old[n-1]
		if last.Time/day == h.Time/day {
			old = old[:n-1]
		}
	}
	next := state.DayMetrics{Time: h.Time, Nodes: slices.Clone(last.Nodes)}
	if n := len(old); n > 1 && len(old) == len(h.Metrics) {
		next.Nodes = slices.DeleteFunc(next.Nodes, func(m state.NodeMetrics) bool { return slices.Contains(old[n-2].Nodes, m) })
	}
	next.Count(b.Maker, 1, 0)
	for _, n := range b.Missed {
		next.Count(n, 0, 1)
	}
	if len(old) >= maxMetricDays {
		old = old[len(old)-maxMetricDays+1:]
	}
	h.Metrics = append(append([]state.DayMetrics(nil), old...), next)
}

// countQueries takes over what the block's maker says of queries.
func countQueries(d *state.Draft, b *Batch) {
	for _, u := range b.Uses {
		if old := d.Canister(u.Canister); old != nil {
			c := *old
			c.Count(b.Maker, u.Stats, state.QueryEpoch(b.Height), d.Head.Nodes)
			d.Put(&c)
		}
	}
}

// Query answers a user's query on a state at rest. certificate makes the data
// certificate that canisters see, nil: none; late tells that nobody waits any
// more, nil: never.
func (m *Machine) Query(s *state.State, q *ic.Query, now ic.Time, certificate func() []byte, late func() bool) *canister.Answer {
	r := m.reader(s, now)
	ask := &management.Queries{Config: m.management(s.Subnet()), State: s, Costs: r.Subnet.Costs}
	if q.Canister.Principal == ic.Management {
		return &canister.Answer{Reply: ask.Query(q.Method, q.Arg, q.Sender)}
	}
	r.Management, r.Certificate, r.Late = ask.Composite, certificate, late
	a := r.Query(q)
	if m.cfg.Cache != nil && a.Basis != nil && len(q.Arg) <= maxKeptArg {
		m.cfg.Cache.Put(canister.Key(q), a)
	}
	return a
}

// maxKeptArg is the longest argument in bytes of a query whose answer is kept:
// a longer one is seldom asked twice, and takes as long to hash as to answer.
const maxKeptArg = 64 << 10

// Recall is Query for an answer that was given before and is still right; nil
// where there is none. It takes no time to speak of.
func (m *Machine) Recall(s *state.State, q *ic.Query, now ic.Time) *canister.Answer {
	if m.cfg.Cache == nil || len(q.Arg) > maxKeptArg {
		return nil
	}
	a := m.cfg.Cache.Get(canister.Key(q))
	if a == nil || !a.Basis.Holds(m.reader(s, now)) {
		return nil
	}
	return a
}

// Inspect tells whether a user's call is worth putting into a block: the
// canister exists, runs, can pay and accepts it.
func (m *Machine) Inspect(s *state.State, msg *ic.Ingress, now ic.Time) *ic.UserError {
	r := m.reader(s, now)
	if msg.Canister.Principal == ic.Management {
		cfg := m.management(s.Subnet())
		// What it costs is seen first.
		if id, pays, err := management.Payer(msg.Method, msg.Arg); err == nil && pays && !management.Thaws(msg.Method, msg.Arg) {
			if c := s.Canister(id); c != nil {
				if err := r.CanPay(c, msg); err != nil {
					return err
				}
			}
		}
		return cfg.Admit(s, msg)
	}
	c := s.Canister(msg.Canister)
	if c == nil {
		return canister.NotFound(msg.Canister)
	}
	if err := r.CanPay(c, msg); err != nil {
		return err
	}
	if err := canister.NotRunning(c); err != nil {
		return err
	}
	return r.Inspect(c, msg)
}

func (m *Machine) reader(s *state.State, now ic.Time) *canister.Reader {
	return &canister.Reader{State: s, Subnet: m.sysapi(s.Subnet(), s.Head().Nodes), Engine: m.engine, Pool: m.cfg.Pool, Now: max(now, s.Time())}
}
