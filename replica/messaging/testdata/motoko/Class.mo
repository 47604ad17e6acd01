persistent actor class Child(n : Nat, owner : Principal) {
  var v = n;
  public query func get() : async Nat { v };
  public func add(k : Nat) : async Nat { v += k; v };
  public shared query ({caller}) func who() : async (Principal, Principal) { (caller, owner) };
};
