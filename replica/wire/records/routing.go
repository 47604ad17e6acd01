package records

import "ashlar/replica/ic"

// RoutingTable is a part of the map from canister ids to subnets.
type RoutingTable struct {
	Entries []Route
	Unknown
}

func (t *RoutingTable) fields(c *coder) { many(c, 1, &t.Entries) }

// Route gives a range of canister ids to a subnet.
type Route struct {
	Range  *Range
	Subnet ic.SubnetID
	Unknown
}

func (r *Route) fields(c *coder) {
	one(c, 1, &r.Range)
	c.id(2, &r.Subnet.Principal)
}

// Range is CanisterIdRange, inclusive at both ends.
type Range struct {
	ic.CanisterRange
	Unknown
}

func (r *Range) fields(c *coder) {
	c.id(3, &r.First.Principal)
	c.id(4, &r.Last.Principal)
}
