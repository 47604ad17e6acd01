// Puts its own cycles into somebody's account at the cycles ledger.
persistent actor {
  transient let ledger : actor {
    deposit : { to : { owner : Principal; subaccount : ?Blob }; memo : ?Blob } -> async { balance : Nat; block_index : Nat };
  } = actor "um5iw-rqaaa-aaaaq-qaaba-cai";
  public func fund(owner : Principal, amount : Nat) : async () {
    ignore await (with cycles = amount) ledger.deposit({ to = { owner; subaccount = null }; memo = null })
  };
};
