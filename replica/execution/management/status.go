package management

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sort"

	"ashlar/replica/execution/canister"
	"ashlar/replica/execution/cycles"
	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/state"
	"ashlar/replica/wire/candid"
)

// This file: what can be asked about canisters and the subnet.

func canisterStatus(x *call) ([]byte, *ic.UserError) {
	var in idArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.target(in.Canister)
	if err == nil {
		err = x.Config.maySeeStatus(c, x.caller)
	}
	if err != nil {
		return nil, err
	}
	return candid.Marshal(statusOf(c, x.Subnet.Costs, x.Head.Height)), nil
}

func (cfg *Config) maySeeStatus(c *state.Canister, p ic.Principal) *ic.UserError {
	if c.Settings.Controls(p) || c.ID.Principal == p || cfg.admin(p) || c.Settings.StatusVisibility.Allows(p) {
		return nil
	}
	return ic.Errorf(ic.CanisterStatusAccessDenied, "Caller %s is not allowed to read the canister status", p)
}

func (cfg *Config) maySeeMetrics(c *state.Canister, p ic.Principal) *ic.UserError {
	return cfg.mayGovern(c, p)
}

func statusOf(c *state.Canister, costs cycles.Schedule, at ic.Height) statusResult {
	var run runStatus
	switch c.Run {
	case state.Running:
		run.Running = &candid.Unit{}
	case state.Stopping:
		run.Stopping = &candid.Unit{}
	default:
		run.Stopped = &candid.Unit{}
	}
	n := candid.Nat64Of
	var code, sections uint64
	if c.Module != nil {
		code, sections = c.Module.Bytes, c.Module.SectionBytes()
	}
	queried := c.Queried(state.QueryEpoch(at), costs.Nodes)
	return statusResult{
		Status: run, Migration: c.Run == state.Stopped && c.Queue.Len() == 0 && c.Callbacks.Len() == 0, Version: c.Version,
		Settings: definite(&c.Settings), Hash: moduleHash(c), Memory: n(c.MemoryUsage()),
		Metrics: memoryMetrics{
			Heap: n(c.HeapBytes), Stable: n(c.StableBytes), Globals: n(8 * uint64(len(c.Memory.Globals))), Code: n(code), Sections: n(sections),
			History: n(c.HistoryBytes()), Chunks: n(uint64(c.Chunks.Len()) * state.ChunkBytes), Snapshots: n(c.SnapshotBytes()), Logs: n(c.LogStoreBytes()),
		},
		Cycles: candid.NatOfCycles(c.Cycles), Reserved: candid.NatOfCycles(c.Reserved),
		Idle: candid.NatOfCycles(costs.IdlePerDay(canister.Idle(c))),
		Stats: queryStats{
			Calls: n(queried.Calls), Instructions: n(queried.Instructions), Request: n(queried.RequestBytes), Response: n(queried.ResponseBytes),
		},
	}
}

func moduleHash(c *state.Canister) *[]byte {
	if c.Module == nil {
		return nil
	}
	h := c.Module.Hash[:]
	return &h
}

func canisterMetrics(x *call) ([]byte, *ic.UserError) {
	var in idArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.target(in.Canister)
	if err == nil {
		err = x.Config.maySeeMetrics(c, x.caller)
	}
	if err != nil {
		return nil, err
	}
	return candid.Marshal(metricsOf(c)), nil
}

func metricsOf(c *state.Canister) metricsResult {
	n, u := candid.NatOfCycles, &c.Consumed
	return metricsResult{consumed{
		Memory: n(u.Memory), Compute: n(u.Compute), Ingress: n(u.Ingress), Instructions: n(u.Instructions), Transmission: n(u.Transmission),
		Uninstall: n(u.Uninstall), Creation: n(u.Creation), Outcalls: n(u.Outcalls), Burned: n(u.Burned),
	}}
}

func canisterInfo(x *call) ([]byte, *ic.UserError) {
	var in infoArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.target(in.Canister)
	if err != nil {
		return nil, err
	}
	return candid.Marshal(infoOf(c, in.Changes)), nil
}

func infoOf(c *state.Canister, wanted *uint64) infoResult {
	out := infoResult{Total: c.Changes, Recent: []change{}, Hash: moduleHash(c), Controllers: c.Settings.Controllers}
	if wanted == nil {
		return out
	}
	recent := c.History[len(c.History)-int(min(*wanted, uint64(len(c.History)))):]
	for _, ch := range recent {
		out.Recent = append(out.Recent, changeOf(ch))
	}
	return out
}

func changeOf(ch *state.Change) change {
	out := change{Time: uint64(ch.Time), Version: ch.Version}
	if ch.FromCanister {
		out.Origin.Canister = &canisterOrigin{ch.Origin, ch.OriginVersion}
	} else {
		out.Origin.User = &userOrigin{ch.Origin}
	}
	switch ch.Kind {
	case state.Creation:
		out.Details.Creation = &creation{Controllers: ch.Controllers}
		if ch.Environment != nil {
			out.Details.Creation.Environment = &ch.Environment
		}
	case state.CodeUninstall:
		out.Details.Uninstall = &candid.Unit{}
	case state.CodeDeployment:
		d := &codeDeployment{Hash: ch.ModuleHash}
		switch ch.Mode {
		case "install":
			d.Mode.Install = &candid.Unit{}
		case "reinstall":
			d.Mode.Reinstall = &candid.Unit{}
		default:
			d.Mode.Upgrade = &candid.Unit{}
		}
		out.Details.Deployment = d
	case state.LoadSnapshot:
		s := ch.Snapshot
		out.Details.Snapshot = &loadedSnapshot{From: s.Canister, ID: s.ID, Version: s.Version, Taken: uint64(s.Taken), Source: sourceOf(s.Uploaded)}
	case state.ControllersChange:
		out.Details.Controllers = &controllersChange{ch.Controllers}
	}
	return out
}

func sourceOf(uploaded bool) (s snapshotSource) {
	if uploaded {
		s.Uploaded = &candid.Any{}
	} else {
		s.Taken = &candid.Any{}
	}
	return s
}

func canisterMetadata(x *call) ([]byte, *ic.UserError) {
	var in metadataArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.target(in.Canister)
	if err != nil {
		return nil, err
	}
	if c.Module == nil {
		return nil, ic.Errorf(ic.CanisterRejectedMessage, "The canister %s has no Wasm module and hence no metadata is available.", c.ID)
	}
	s := c.Module.Section(in.Name)
	if s == nil || !s.Public && !c.Settings.Controls(x.caller) {
		return nil, ic.Errorf(ic.CanisterRejectedMessage, "The canister %s has no metadata section with the name %s.", c.ID, clip(in.Name))
	}
	return candid.Marshal(metadataResult{s.Content}), nil
}

func fetchLogs(x *call) ([]byte, *ic.UserError) {
	var in logsArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	c, err := x.target(in.Canister)
	if err != nil {
		return nil, err
	}
	out, err := logsOf(c, x.caller, in.Filter)
	if err != nil {
		return nil, err
	}
	// The work counts towards the round; the caller has paid for message and
	// response already, so there is no fee.
	x.used += logsWork + logsWorkRecord*machine.Instructions(len(out.Records))
	return candid.Marshal(out), nil
}

// What reading logs costs a round, in instructions, as mainnet counts it.
const (
	logsWork       = 150_000
	logsWorkRecord = 900
)

// maxLogsReply bounds the records of an answer, in bytes, so that it fits into a response.
const maxLogsReply = 2_000_000

// logsOf are the records that fit into one answer: of a filtered read the oldest
// ones, so that a reader can page forward, else the newest ones.
func logsOf(c *state.Canister, caller ic.Principal, f *logFilter) (logsResult, *ic.UserError) {
	out := logsResult{Records: []logRecord{}}
	if !c.Settings.Controls(caller) && !c.Settings.LogVisibility.Allows(caller) {
		return out, ic.Errorf(ic.CanisterRejectedMessage, "Caller %s is not allowed to access canister logs", caller)
	}
	bytes := 0
	c.Logs.Each(func(key string, l *state.LogRecord) bool {
		r := logRecord{state.Number(key), uint64(l.Time), l.Content}
		if f == nil || f.Index != nil && f.Index.holds(r.Index) || f.Time != nil && f.Time.holds(r.Time) {
			bytes += len(l.Content) + logRecordBytes
			if f != nil && bytes > maxLogsReply {
				return false
			}
			out.Records = append(out.Records, r)
		}
		return true
	})
	for f == nil && bytes > maxLogsReply {
		bytes -= len(out.Records[0].Content) + logRecordBytes
		out.Records = out.Records[1:]
	}
	return out, nil
}

// logRecordBytes of an answer are each record's index and time.
const logRecordBytes = 16

// holds tells whether n lies in the range; its end is excluded.
func (r *timeRange) holds(n uint64) bool { return r.Start <= n && n < r.End }

func rawRand(x *call) ([]byte, *ic.UserError) {
	if err := candid.Unmarshal(x.msg.Arg); err != nil {
		return nil, ic.Errorf(ic.InvalidManagementPayload, "Error decoding candid: %s", clip(err.Error()))
	}
	h := sha256.New()
	h.Write([]byte("\x08raw_rand"))
	h.Write(x.Randomness[:])
	h.Write(binary.BigEndian.AppendUint64(nil, x.draws))
	x.draws++
	return candid.Marshal(h.Sum(nil)), nil
}

func (x *call) ownSubnet(id ic.Principal) *ic.UserError {
	if id != x.Subnet.ID.Principal {
		return ic.Errorf(ic.CanisterRejectedMessage, "Provided target subnet ID %s does not match current subnet ID %s.", id, x.Subnet.ID)
	}
	return nil
}

func subnetInfo(x *call) ([]byte, *ic.UserError) {
	var in subnetArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	if err := x.ownSubnet(in.Subnet); err != nil {
		return nil, err
	}
	return candid.Marshal(subnetInfoResult{x.Version, x.Head.Registry}), nil
}

func metricsHistory(x *call) ([]byte, *ic.UserError) {
	var in metricsHistoryArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	if err := x.ownSubnet(in.Subnet); err != nil {
		return nil, err
	}
	out := []dayMetrics{}
	for i, d := range x.Head.Metrics {
		if uint64(d.Time) < in.Start {
			continue
		}
		day := dayMetrics{Time: uint64(d.Time), Nodes: []nodeMetrics{}}
		for _, n := range d.Nodes { // of those that did something since the sample before
			if i == 0 || !slices.Contains(x.Head.Metrics[i-1].Nodes, n) {
				day.Nodes = append(day.Nodes, nodeMetrics{n.Node.Principal, n.Proposed, n.Failed})
			}
		}
		out = append(out, day)
	}
	return candid.Marshal(out), nil
}

// subnetMetrics tells the height of this round; all else is as of the round before.
func subnetMetrics(x *call) ([]byte, *ic.UserError) {
	var in subnetArgs
	if err := decode(x.msg.Arg, &in); err != nil {
		return nil, err
	}
	if err := x.ownSubnet(in.Subnet); err != nil {
		return nil, err
	}
	n := candid.Nat64Of
	return candid.Marshal(subnetMetricsResult{
		Height: n(uint64(x.Head.Height)), Canisters: n(uint64(x.NumCanisters())), Bytes: n(x.Head.MemoryBytes),
		Consumed: candid.NatOfCycles(x.Before().Burned), Updates: n(x.Before().Updates),
	}), nil
}

func listCanisters(*call) ([]byte, *ic.UserError) {
	return nil, notThisWay("list_canisters", byCanister)
}

func sortParts(parts [][64]byte) {
	sort.Slice(parts, func(i, j int) bool { return bytes.Compare(parts[i][:], parts[j][:]) < 0 })
}
