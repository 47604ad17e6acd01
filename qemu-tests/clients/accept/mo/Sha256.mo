// SHA-256 of several blobs, one after the other.
import Array "mo:core/Array";
import Blob "mo:core/Blob";
import Nat8 "mo:core/Nat8";
import Nat32 "mo:core/Nat32";
import VarArray "mo:core/VarArray";

module {
  let k : [Nat32] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
  ];

  func wide(b : Nat8) : Nat32 { Nat32.fromNat(Nat8.toNat(b)) };

  public func sum(parts : [Blob]) : Blob {
    let s : [var Nat32] = [var 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    let w = VarArray.repeat<Nat32>(0, 64);
    let block = VarArray.repeat<Nat8>(0, 64);
    var fill = 0;
    var total = 0;

    func compress() {
      for (i in Nat32.range(0, 16)) {
        let j = Nat32.toNat(i);
        w[j] := wide(block[4 * j]) << 24 | wide(block[4 * j + 1]) << 16 | wide(block[4 * j + 2]) << 8 | wide(block[4 * j + 3]);
      };
      var i = 16;
      while (i < 64) {
        let x = w[i - 15];
        let y = w[i - 2];
        w[i] := w[i - 16] +% ((x <>> 7) ^ (x <>> 18) ^ (x >> 3)) +% w[i - 7] +% ((y <>> 17) ^ (y <>> 19) ^ (y >> 10));
        i += 1;
      };
      var a = s[0]; var b = s[1]; var c = s[2]; var d = s[3];
      var e = s[4]; var f = s[5]; var g = s[6]; var h = s[7];
      i := 0;
      while (i < 64) {
        let t = h +% ((e <>> 6) ^ (e <>> 11) ^ (e <>> 25)) +% ((e & f) ^ ((^e) & g)) +% k[i] +% w[i];
        let u = ((a <>> 2) ^ (a <>> 13) ^ (a <>> 22)) +% ((a & b) ^ (a & c) ^ (b & c));
        h := g; g := f; f := e; e := d +% t;
        d := c; c := b; b := a; a := t +% u;
        i += 1;
      };
      s[0] +%= a; s[1] +%= b; s[2] +%= c; s[3] +%= d;
      s[4] +%= e; s[5] +%= f; s[6] +%= g; s[7] +%= h;
    };

    func put(b : Nat8) {
      block[fill] := b;
      fill += 1;
      if (fill == 64) { compress(); fill := 0 };
    };

    for (p in parts.vals()) {
      for (b in p.vals()) put(b);
      total += p.size();
    };
    put(0x80);
    while (fill != 56) put(0);
    var shift = 64;
    while (shift > 0) {
      shift -= 8;
      put(Nat8.fromNat((total * 8 / 2 ** shift) % 256));
    };
    Blob.fromArray(Array.tabulate<Nat8>(32, func(i) { Nat8.fromNat(Nat32.toNat((s[i / 4] >> Nat32.fromNat(24 - 8 * (i % 4))) & 0xff)) }));
  };
};
