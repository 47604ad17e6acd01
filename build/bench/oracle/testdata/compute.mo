// Work for the engine, without calls: what build/bench compares with wasmtime.
persistent actor {
  func fibonacci(n : Nat) : Nat = if (n < 2) n else fibonacci(n - 1) + fibonacci(n - 2);

  public func fib() : async Nat { fibonacci(22) };

  public func primes() : async Nat {
    var found = 0;
    var i = 2;
    while (i < 20_000) {
      var k = 2;
      var prime = true;
      while (k * k <= i and prime) {
        if (i % k == 0) prime := false;
        k += 1;
      };
      if (prime) found += 1;
      i += 1;
    };
    found
  };

  public func texts() : async Nat {
    var t = "The quick brown fox jumps over the lazy dog";
    var sum = 0;
    for (i in [1, 2, 3, 4, 5, 6, 7, 8].vals()) {
      for (c in t.chars()) { sum += 1; if (c == 'o') sum += i };
      t := t # "ashlar";
    };
    var k = 0;
    while (k < 400) {
      let pair = (k, ?("x", k));
      switch (pair.1) { case (?(_, n)) sum += n; case null {} };
      k += 1;
    };
    sum
  };
}
