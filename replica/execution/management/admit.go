package management

import (
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

// free are the methods that a user may call without a canister paying for it.
var free = map[string]bool{"provisional_create_canister_with_cycles": true, "provisional_top_up_canister": true, "create_canister": true}

// Payer is the canister that pays for a user's call to the management canister;
// ok is false where nobody does.
func Payer(method string, arg []byte) (id ic.CanisterID, ok bool, err *ic.UserError) {
	if free[method] {
		return id, false, nil
	}
	if f, known := methods[method]; !known || f.by&byUser == 0 {
		return id, false, rejectMethod(method)
	}
	if id, err = Target(method, arg); err != nil {
		return id, false, ic.Errorf(ic.InvalidManagementPayload, "Failed to parse payload for ic00 method %s: %s", method, err)
	}
	return id, true, nil
}

// maxThaw is the size of an argument that may thaw a canister, in bytes: enough to
// name a freezing threshold, not enough to fill blocks for nothing.
const maxThaw = 366

// Thaws tells whether a user's call is taken although the canister is frozen: its
// settings may be what froze it.
func Thaws(method string, arg []byte) bool { return method == "update_settings" && len(arg) <= maxThaw }

// Target is the canister that a call is about: what the argument names.
func Target(method string, arg []byte) (ic.CanisterID, *ic.UserError) {
	if method == "install_chunked_code" {
		var in struct {
			Target ic.CanisterID `candid:"target_canister"`
		}
		err := decode(arg, &in)
		return in.Target, err
	}
	var in idArgs
	err := decode(arg, &in)
	return in.Canister, err
}

func rejectMethod(method string) *ic.UserError {
	if _, known := methods[method]; !known && refused[method] == nil {
		return ic.Errorf(ic.CanisterMethodNotFound, "ic00 interface does not expose method %s", clip(method))
	}
	return notThisWay(method, byUser)
}

// self are the methods that a canister may also call about itself, and those
// that others may be allowed to.
var readers = map[string]func(cfg *Config, c *state.Canister, p ic.Principal) bool{
	"canister_metrics": func(cfg *Config, c *state.Canister, p ic.Principal) bool {
		return cfg.maySeeMetrics(c, p) == nil
	},
	"list_canister_snapshots": func(_ *Config, c *state.Canister, p ic.Principal) bool {
		return c.Settings.Controls(p) || c.Settings.SnapshotsVisible.Allows(p)
	},
	"read_canister_snapshot_metadata": func(_ *Config, c *state.Canister, p ic.Principal) bool {
		return c.Settings.Controls(p) || c.Settings.SnapshotsVisible.Allows(p)
	},
	"read_canister_snapshot_data": func(_ *Config, c *state.Canister, p ic.Principal) bool {
		return c.Settings.Controls(p) || c.Settings.SnapshotsVisible.Allows(p)
	},
	"uninstall_code": adminToo, "start_canister": adminToo, "stop_canister": adminToo, "delete_canister": adminToo,
}

func adminToo(cfg *Config, c *state.Canister, p ic.Principal) bool {
	return c.Settings.Controls(p) || cfg.admin(p)
}

// Admit checks whether a user's call to the management canister is worth putting
// into a block: the method takes users' calls, and the sender may call it.
func (cfg *Config) Admit(s *state.State, msg *ic.Ingress) *ic.UserError {
	if msg.Method == "create_canister" {
		if !cfg.admin(msg.Sender) {
			return rejectMethod(msg.Method)
		}
		return nil
	}
	if free[msg.Method] {
		if !cfg.Provisional {
			return ic.Errorf(ic.CanisterRejectedMessage, "Caller %s is not allowed to call ic00 method %s", msg.Sender, msg.Method)
		}
		return nil
	}
	id, _, err := Payer(msg.Method, msg.Arg)
	if err != nil {
		return err
	}
	c := s.Canister(id)
	if c == nil {
		return ic.Errorf(ic.CanisterNotFound, "Canister %s not found", id)
	}
	if msg.Method == "canister_status" {
		return cfg.maySeeStatus(c, msg.Sender)
	}
	may := c.Settings.Controls(msg.Sender)
	if f := readers[msg.Method]; f != nil {
		may = f(cfg, c, msg.Sender)
	}
	if !may {
		return ic.Errorf(ic.CanisterInvalidController, "Only controllers of canister %s can call ic00 method %s", id, msg.Method)
	}
	return nil
}
