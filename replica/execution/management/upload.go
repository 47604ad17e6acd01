package management

import (
	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
	"ashlar/replica/state"
)

func instructionsOf(n uint64) machine.Instructions { return machine.Instructions(n) }

// assemble makes module and memories of an uploaded snapshot.
func (x *call) assemble(c *state.Canister, s *state.Snapshot) (*state.Module, *state.Memory, *ic.UserError) {
	return nil, nil, ic.Errorf(ic.InvalidManagementPayload, "Canister snapshot is incomplete")
}
