// What the icp CLI asks of a cycles minting canister before it makes a canister: where.
import Prim "mo:prim";

persistent actor {
  public query func get_default_subnets() : async [Principal] { [Prim.canisterSubnet()] };
};
