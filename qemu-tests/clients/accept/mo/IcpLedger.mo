// As much of the ICP ledger as the icp CLI needs: everybody's ICP comes from
// the anonymous user, who has no end of them.
import Map "mo:core/Map";
import Principal "mo:core/Principal";
import Blob "mo:core/Blob";
import Nat64 "mo:core/Nat64";

persistent actor {
  type Account = { owner : Principal; subaccount : ?Blob };
  type Failure = { #BadFee : { expected_fee : Nat }; #InsufficientFunds : { balance : Nat } };
  let fee : Nat64 = 10_000;
  let balances = Map.empty<Blob, Nat64>();
  var blocks : Nat64 = 0;
  func of(id : Blob) : Nat64 { switch (Map.get(balances, Blob.compare, id)) { case (?n) n; case null 0 } };
  func move(from : Principal, to : Blob, e8s : Nat64) : ?Nat64 {
    if (not Principal.isAnonymous(from)) {
      let id = Principal.toLedgerAccount(from, null);
      if (of(id) < e8s + fee) return ?of(id);
      Map.add(balances, Blob.compare, id, of(id) - e8s - fee : Nat64);
    };
    Map.add(balances, Blob.compare, to, of(to) + e8s);
    blocks += 1;
    null
  };
  public shared ({ caller }) func transfer(a : { to : Blob; amount : { e8s : Nat64 } }) : async { #Ok : Nat64; #Err : { #InsufficientFunds : { balance : { e8s : Nat64 } } } } {
    switch (move(caller, a.to, a.amount.e8s)) { case null #Ok(blocks); case (?e8s) #Err(#InsufficientFunds { balance = { e8s } }) }
  };
  public shared ({ caller }) func icrc1_transfer(a : { to : Account; amount : Nat }) : async { #Ok : Nat; #Err : Failure } {
    switch (move(caller, Principal.toLedgerAccount(a.to.owner, a.to.subaccount), Nat64.fromNat(a.amount))) {
      case null #Ok(Nat64.toNat(blocks)); case (?e8s) #Err(#InsufficientFunds { balance = Nat64.toNat(e8s) })
    }
  };
  public query func icrc1_balance_of(a : Account) : async Nat { Nat64.toNat(of(Principal.toLedgerAccount(a.owner, a.subaccount))) };
  public query func icrc1_fee() : async Nat { Nat64.toNat(fee) };
  public query func icrc1_decimals() : async Nat8 { 8 };
  public query func icrc1_symbol() : async Text { "ICP" };
};
