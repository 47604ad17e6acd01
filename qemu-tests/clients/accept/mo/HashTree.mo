// A hash tree of the interface specification, its digest, and its CBOR form with
// only some paths shown.
import Array "mo:core/Array";
import Blob "mo:core/Blob";
import List "mo:core/List";
import Nat8 "mo:core/Nat8";
import Text "mo:core/Text";
import Sha256 "Sha256";

module {
  public type Node = { #dir : [(Blob, Node)]; #leaf : Blob };
  public type Path = [Blob];

  func tail<T>(xs : [T]) : [T] { Array.tabulate<T>(xs.size() - 1 : Nat, func(i) { xs[i + 1] }) };

  // put adds a leaf; labels of a directory stay in order.
  public func put(node : Node, path : Path, value : Blob) : Node {
    if (path.size() == 0) return #leaf value;
    let entries = switch node { case (#dir es) es; case (#leaf _) [] };
    let out = List.empty<(Blob, Node)>();
    var done = false;
    for ((key, child) in entries.vals()) {
      if (not done and path[0] <= key) {
        done := true;
        if (path[0] == key) { List.add(out, (key, put(child, tail(path), value))) } else {
          List.add(out, (path[0], put(#dir([]), tail(path), value)));
          List.add(out, (key, child));
        };
      } else List.add(out, (key, child));
    };
    if (not done) List.add(out, (path[0], put(#dir([]), tail(path), value)));
    #dir(List.toArray(out));
  };

  func domain(name : Text) : Blob { Text.encodeUtf8(name) };

  public func digest(node : Node) : Blob {
    switch node {
      case (#leaf v) Sha256.sum([domain("\10ic-hashtree-leaf"), v]);
      case (#dir es) digests(es, 0, es.size());
    };
  };

  func digests(es : [(Blob, Node)], from : Nat, to : Nat) : Blob {
    let n = to - from : Nat;
    if (n == 0) return Sha256.sum([domain("\11ic-hashtree-empty")]);
    if (n == 1) return Sha256.sum([domain("\13ic-hashtree-labeled"), es[from].0, digest(es[from].1)]);
    let half = from + n / 2;
    Sha256.sum([domain("\10ic-hashtree-fork"), digests(es, from, half), digests(es, half, to)]);
  };

  // witness shows what lies at the paths and, in the directories on the way, all
  // labels: what is not there is proved absent.
  public func witness(node : Node, paths : [Path]) : Blob {
    let out = List.empty<Nat8>();
    for (b in ([0xd9, 0xd9, 0xf7] : [Nat8]).vals()) List.add(out, b);
    show(out, node, paths);
    Blob.fromArray(List.toArray(out));
  };

  func show(out : List.List<Nat8>, node : Node, paths : [Path]) {
    switch node {
      case (#leaf v) { head(out, 4, 2); head(out, 0, 3); bytes(out, v) };
      case (#dir es) shows(out, es, 0, es.size(), paths);
    };
  };

  func shows(out : List.List<Nat8>, es : [(Blob, Node)], from : Nat, to : Nat, paths : [Path]) {
    let n = to - from : Nat;
    if (n == 0) { head(out, 4, 1); head(out, 0, 0); return };
    if (n > 1) {
      head(out, 4, 3);
      head(out, 0, 1);
      let half = from + n / 2;
      shows(out, es, from, half, paths);
      shows(out, es, half, to, paths);
      return;
    };
    let (key, child) = es[from];
    head(out, 4, 3);
    head(out, 0, 2);
    bytes(out, key);
    let whole = Array.any<Path>(paths, func(p) { p.size() == 0 });
    let below = Array.map<Path, Path>(Array.filter<Path>(paths, func(p) { p.size() > 0 and p[0] == key }), func(p) { tail(p) });
    if (whole) { show(out, child, [[]]) } else if (below.size() > 0) { show(out, child, below) } else {
      head(out, 4, 2);
      head(out, 0, 4);
      bytes(out, digest(child));
    };
  };

  // head writes a CBOR head.
  public func head(out : List.List<Nat8>, major : Nat, n : Nat) {
    let first = major * 32;
    if (n < 24) { List.add(out, Nat8.fromNat(first + n)) } else if (n < 256) {
      List.add(out, Nat8.fromNat(first + 24));
      List.add(out, Nat8.fromNat(n));
    } else {
      List.add(out, Nat8.fromNat(first + 25));
      List.add(out, Nat8.fromNat(n / 256));
      List.add(out, Nat8.fromNat(n % 256));
    };
  };

  func bytes(out : List.List<Nat8>, b : Blob) {
    head(out, 2, b.size());
    for (x in b.vals()) List.add(out, x);
  };
};
