// Nine small programs that load the engine in different ways. Built by
//   clang --target=wasm32 -O2 -nostdlib -ffreestanding -Wl,--no-entry -Wl,-z,stack-size=16384 -o kernels32.wasm kernels.c
// and the same with wasm64. Each leaves a checksum, so that nothing is optimised away.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define ENTRY(name) __attribute__((export_name("canister_update " #name))) void run_##name(void)

__attribute__((import_module("ic0"), import_name("msg_reply_data_append"))) void reply(const void *p, __SIZE_TYPE__ n);

static volatile u64 result;

static void done(u64 v) {
  result = v;
  reply((const void *)&result, 8);
}

// SHA-256 compression of 16 KiB.
static const u32 K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
static u8 buffer[1 << 14];
static u32 rotr(u32 x, int n) { return x >> n | x << (32 - n); }

ENTRY(sha) {
  u32 h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  for (u32 i = 0; i < sizeof buffer; i++) buffer[i] = (u8)(i * 31);
  for (int round = 0; round < 32; round++)
    for (u32 at = 0; at < sizeof buffer; at += 64) {
      u32 w[64], v[8];
      for (int i = 0; i < 16; i++)
        w[i] = (u32)buffer[at + 4 * i] << 24 | (u32)buffer[at + 4 * i + 1] << 16 | (u32)buffer[at + 4 * i + 2] << 8 | buffer[at + 4 * i + 3];
      for (int i = 16; i < 64; i++) {
        u32 a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (rotr(a, 7) ^ rotr(a, 18) ^ a >> 3) + w[i - 7] + (rotr(b, 17) ^ rotr(b, 19) ^ b >> 10);
      }
      for (int i = 0; i < 8; i++) v[i] = h[i];
      for (int i = 0; i < 64; i++) {
        u32 t1 = v[7] + (rotr(v[4], 6) ^ rotr(v[4], 11) ^ rotr(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i];
        u32 t2 = (rotr(v[0], 2) ^ rotr(v[0], 13) ^ rotr(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        for (int k = 7; k > 0; k--) v[k] = v[k - 1];
        v[4] += t1;
        v[0] = t1 + t2;
      }
      for (int i = 0; i < 8; i++) h[i] += v[i];
    }
  done(h[0]);
}

// Quicksort of 50,000 integers.
static u32 numbers[50000];
static void sort(u32 *a, int n) {
  while (n > 1) {
    u32 p = a[(n - 1) / 2];
    int i = 0, j = n - 1;
    for (;; i++, j--) {
      while (a[i] < p) i++;
      while (a[j] > p) j--;
      if (i >= j) break;
      u32 t = a[i];
      a[i] = a[j];
      a[j] = t;
    }
    sort(a, j + 1);
    a += j + 1;
    n -= j + 1;
  }
}
ENTRY(sort) {
  u32 x = 1;
  for (int i = 0; i < 50000; i++) numbers[i] = x = x * 1664525 + 1013904223;
  sort(numbers, 50000);
  done(numbers[25000]);
}

// Product of two matrices of doubles.
#define N 96
static double ma[N][N], mb[N][N], mc[N][N];
ENTRY(mat) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) ma[i][j] = i + j, mb[i][j] = i - j;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      double s = 0;
      for (int k = 0; k < N; k++) s += ma[i][k] * mb[k][j];
      mc[i][j] = s;
    }
  done((u64)(mc[5][7] + 1e9));
}

// Recursion.
__attribute__((noinline)) static u32 fib(u32 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
ENTRY(fib) { done(fib(24)); }

// A hash table with open addressing.
static u64 keys[1 << 15];
ENTRY(hash) {
  u64 found = 0;
  for (int i = 0; i < 1 << 15; i++) keys[i] = 0;
  for (u64 i = 1; i < 20000; i++) {
    u64 k = i * 0x9e3779b97f4a7c15ull, at = k >> 49;
    while (keys[at] && keys[at] != k) at = (at + 1) & 0x7fff;
    keys[at] = k;
  }
  for (u64 i = 1; i < 40000; i++) {
    u64 k = i * 0x9e3779b97f4a7c15ull, at = k >> 49;
    while (keys[at] && keys[at] != k) at = (at + 1) & 0x7fff;
    found += keys[at] == k;
  }
  done(found);
}

// Sieve: tight loops of byte stores.
static u8 sieve[500000];
ENTRY(sieve) {
  u32 n = 0;
  for (u32 i = 0; i < sizeof sieve; i++) sieve[i] = 1;
  for (u32 i = 2; i < sizeof sieve; i++)
    if (sieve[i]) {
      n++;
      for (u32 j = 2 * i; j < sizeof sieve; j += i) sieve[j] = 0;
    }
  done(n);
}

// A byte code interpreter: one large switch.
u8 program[] = {0, 100, 1, 3, 2, 7, 3, 1, 4, 5, 6, 2, 7, 250, 8, 0}; // not static: not to be folded
ENTRY(interp) {
  u32 acc = 0, count = 60000;
  for (u32 pc = 0; count;) {
    u8 op = program[pc], arg = program[pc + 1];
    switch (op) {
    case 0: acc += arg; pc += 2; break;
    case 1: acc ^= acc << arg; pc += 2; break;
    case 2: acc ^= acc >> arg; pc += 2; break;
    case 3: acc -= arg; pc += 2; break;
    case 4: acc = acc * 33 + arg; pc += 2; break;
    case 6: acc = (acc << arg) | (acc >> (32 - arg)); pc += 2; break;
    case 7: acc += (acc & 1) ? arg : 1; pc += 2; break;
    default: pc = 0; count--; break;
    }
  }
  done(acc);
}

// Calls through a table of functions.
typedef u32 (*step)(u32);
__attribute__((noinline)) static u32 s0(u32 x) { return x * 3 + 1; }
__attribute__((noinline)) static u32 s1(u32 x) { return x ^ x >> 5; }
__attribute__((noinline)) static u32 s2(u32 x) { return x - 77; }
__attribute__((noinline)) static u32 s3(u32 x) { return x << 1 | x >> 31; }
static step steps[4] = {s0, s1, s2, s3};
ENTRY(icall) {
  volatile step *table = (volatile step *)steps;
  u32 x = 1;
  for (u32 i = 0; i < 500000; i++) x = table[x >> 3 & 3](x);
  done(x);
}

// Planets.
static double px[5] = {0, 4.84, 8.34, 12.89, 15.37}, py[5] = {0, -1.16, 4.12, -15.11, -25.9}, pz[5] = {0, -.10, -.4, -.22, .179};
static double vx[5] = {0, .6, -1.01, 1.08, .97}, vy[5] = {0, 2.8, 1.82, .86, .59}, vz[5] = {0, -.02, .008, -.01, -.03}, mass[5] = {39.4, .03, .01, .001, .002};
ENTRY(nbody) {
  for (int t = 0; t < 20000; t++) {
    for (int i = 0; i < 5; i++)
      for (int j = i + 1; j < 5; j++) {
        double dx = px[i] - px[j], dy = py[i] - py[j], dz = pz[i] - pz[j];
        double d2 = dx * dx + dy * dy + dz * dz, m = 0.01 / (d2 * __builtin_sqrt(d2));
        vx[i] -= dx * mass[j] * m, vy[i] -= dy * mass[j] * m, vz[i] -= dz * mass[j] * m;
        vx[j] += dx * mass[i] * m, vy[j] += dy * mass[i] * m, vz[j] += dz * mass[i] * m;
      }
    for (int i = 0; i < 5; i++) px[i] += 0.01 * vx[i], py[i] += 0.01 * vy[i], pz[i] += 0.01 * vz[i];
  }
  done((u64)(px[0] * 1e9));
}
