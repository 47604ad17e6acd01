// A canister that does what its argument says: see testdata/README.md.
// Built by the command in README.md with Debian's clang and lld.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#define IC(name) __attribute__((import_module("ic0"), import_name(#name))) extern
#define EXPORT(name) __attribute__((export_name(name)))

IC(msg_arg_data_size) u32 msg_arg_data_size(void);
IC(msg_arg_data_copy) void msg_arg_data_copy(void *, u32, u32);
IC(msg_caller_size) u32 msg_caller_size(void);
IC(msg_caller_copy) void msg_caller_copy(void *, u32, u32);
IC(msg_reject_code) u32 msg_reject_code(void);
IC(msg_reject_msg_size) u32 msg_reject_msg_size(void);
IC(msg_reject_msg_copy) void msg_reject_msg_copy(void *, u32, u32);
IC(msg_reply_data_append) void msg_reply_data_append(void *, u32);
IC(msg_reply) void msg_reply(void);
IC(msg_reject) void msg_reject(void *, u32);
IC(msg_deadline) u64 msg_deadline(void);
IC(msg_cycles_accept128) void msg_cycles_accept128(u64, u64, void *);
IC(msg_cycles_available128) void msg_cycles_available128(void *);
IC(msg_cycles_refunded128) void msg_cycles_refunded128(void *);
IC(canister_cycle_balance128) void canister_cycle_balance128(void *);
IC(canister_self_size) u32 canister_self_size(void);
IC(canister_self_copy) void canister_self_copy(void *, u32, u32);
IC(canister_version) u64 canister_version(void);
IC(canister_status) u32 canister_status(void);
IC(accept_message) void accept_message(void);
IC(call_new) void call_new(void *, u32, void *, u32, u32, u32, u32, u32);
IC(call_on_cleanup) void call_on_cleanup(u32, u32);
IC(call_data_append) void call_data_append(void *, u32);
IC(call_cycles_add128) void call_cycles_add128(u64, u64);
IC(call_with_best_effort_response) void call_with_best_effort_response(u32);
IC(call_perform) u32 call_perform(void);
IC(stable64_grow) u64 stable64_grow(u64);
IC(stable64_write) void stable64_write(u64, u64, u64);
IC(stable64_read) void stable64_read(u64, u64, u64);
IC(certified_data_set) void certified_data_set(void *, u32);
IC(data_certificate_present) u32 data_certificate_present(void);
IC(data_certificate_size) u32 data_certificate_size(void);
IC(data_certificate_copy) void data_certificate_copy(void *, u32, u32);
IC(time) u64 time_(void);
IC(global_timer_set) u64 global_timer_set(u64);
IC(performance_counter) u64 performance_counter(u32);
IC(env_var_value_size) u32 env_var_value_size(void *, u32);
IC(env_var_value_copy) void env_var_value_copy(void *, u32, void *, u32, u32);
IC(debug_print) void debug_print(void *, u32);
IC(trap) void trap(void *, u32);
IC(cycles_burn128) void cycles_burn128(u64, u64, void *);

extern u8 __heap_base;
static u8 *top = &__heap_base;

static u8 *alloc(u32 n) {
  u8 *p = top;
  top += (n + 15) & ~15u;
  while ((u32)top > __builtin_wasm_memory_size(0) << 16)
    if (__builtin_wasm_memory_grow(0, 1) == (__SIZE_TYPE__)-1)
      trap("no memory", 9);
  return p;
}

typedef struct { u8 *p; u32 n; } blob;
typedef struct { blob on_reply, on_reject, on_cleanup; } backs;

static blob R, G, on_timer, on_heartbeat, on_inspect, on_pre, on_low;

static void copy(u8 *d, const u8 *s, u32 n) { while (n--) *d++ = *s++; }
static blob keep(blob b) { blob c = {alloc(b.n), b.n}; copy(c.p, b.p, b.n); return c; }
static void set(u32 n) { R.p = alloc(n); R.n = n; }
static void num(u64 v) { set(8); for (int i = 0; i < 8; i++) R.p[i] = v >> 8 * i; }

static u64 le(u8 **p, int n) { u64 v = 0; for (int i = 0; i < n; i++) v |= (u64)*(*p)++ << 8 * i; return v; }
static blob lit(u8 **p) { blob b; b.n = le(p, 4); b.p = *p; *p += b.n; return b; }

static void run(blob prog);
static void reply_cb(u32 env) { run(((backs *)env)->on_reply); }
static void reject_cb(u32 env) { run(((backs *)env)->on_reject); }
static void cleanup_cb(u32 env) { run(((backs *)env)->on_cleanup); }

static void call(u8 **p) {
  blob callee = lit(p), name = lit(p), arg = lit(p), a = lit(p), b = lit(p), c = lit(p);
  u64 cycles = le(p, 8);
  u32 timeout = le(p, 4);
  backs *k = (backs *)alloc(sizeof *k);
  k->on_reply = keep(a); k->on_reject = keep(b); k->on_cleanup = keep(c);
  call_new(callee.p, callee.n, name.p, name.n, (u32)reply_cb, (u32)k, (u32)reject_cb, (u32)k);
  if (c.n) call_on_cleanup((u32)cleanup_cb, (u32)k);
  call_data_append(arg.p, arg.n);
  if (cycles) call_cycles_add128(0, cycles);
  if (timeout) call_with_best_effort_response(timeout);
  num(call_perform());
}

static void run(blob prog) {
  u8 *p = prog.p, *end = p + prog.n;
  while (p < end) {
    u64 n;
    switch (*p++) {
    case 'b': R = lit(&p); break;
    case 'r': msg_reply_data_append(R.p, R.n); break;
    case 'R': msg_reply(); break;
    case 'X': msg_reject(R.p, R.n); break;
    case 'T': trap(R.p, R.n); break;
    case 'Z': __builtin_trap();
    case 'D': debug_print(R.p, R.n); break;
    case 'g': R = G; break;
    case 'G': G = keep(R); break;
    case 'j': { blob t = {alloc(G.n + R.n), G.n + R.n}; copy(t.p, G.p, G.n); copy(t.p + G.n, R.p, R.n); G = t; break; }
    case 's': n = le(&p, 8); set(le(&p, 4)); stable64_read((u32)R.p, n, R.n); break;
    case 'S': stable64_write(le(&p, 8), (u32)R.p, R.n); break;
    case 'w': num(stable64_grow(le(&p, 8))); break;
    case 'c': call(&p); break;
    case 'a': set(msg_arg_data_size()); msg_arg_data_copy(R.p, 0, R.n); break;
    case 'k': set(msg_caller_size()); msg_caller_copy(R.p, 0, R.n); break;
    case 'm': set(msg_reject_msg_size()); msg_reject_msg_copy(R.p, 0, R.n); break;
    case 'M': num(msg_reject_code()); break;
    case 'y': set(16); canister_cycle_balance128(R.p); break;
    case 'Y': n = le(&p, 8); set(16); msg_cycles_accept128(0, n, R.p); break;
    case 'v': set(16); msg_cycles_available128(R.p); break;
    case 'f': set(16); msg_cycles_refunded128(R.p); break;
    case 'B': n = le(&p, 8); set(16); cycles_burn128(0, n, R.p); break;
    case 'C': certified_data_set(R.p, R.n); break;
    case 'd': num(data_certificate_present()); break;
    case 'E': set(data_certificate_size()); data_certificate_copy(R.p, 0, R.n); break;
    case 't': num(global_timer_set(le(&p, 8))); break;
    case 'P': on_timer = keep(R); break;
    case 'H': on_heartbeat = keep(R); break;
    case 'I': on_inspect = keep(R); break;
    case 'U': on_pre = keep(R); break;
    case 'L': on_low = keep(R); break;
    case 'n': num(time_()); break;
    case 'V': num(canister_version()); break;
    case 'O': num(canister_status()); break;
    case 'p': num(performance_counter(le(&p, 4))); break;
    case 'x': n = le(&p, 8); for (volatile u64 i = 0; i < n; i++) ; break;
    case 'q': num(__builtin_wasm_memory_grow(0, le(&p, 4))); break;
    case 'l': num(msg_deadline()); break;
    case 'o': { blob v = R; set(env_var_value_size(v.p, v.n)); env_var_value_copy(v.p, v.n, R.p, 0, R.n); break; }
    case 'i': set(canister_self_size()); canister_self_copy(R.p, 0, R.n); break;
    case 'K': accept_message(); break;
    default: trap("bad program", 11);
    }
  }
}

static void run_arg(void) {
  blob a = {0, msg_arg_data_size()};
  a.p = alloc(a.n);
  msg_arg_data_copy(a.p, 0, a.n);
  run(a);
}

EXPORT("canister_init") void init(void) { run_arg(); }
EXPORT("canister_post_upgrade") void post(void) { run_arg(); }
EXPORT("canister_pre_upgrade") void pre(void) { run(on_pre); }
EXPORT("canister_update update") void update(void) { run_arg(); }
EXPORT("canister_query query") void query(void) { run_arg(); }
EXPORT("canister_composite_query composite") void composite(void) { run_arg(); }
EXPORT("canister_global_timer") void timer(void) { run(on_timer); }
EXPORT("canister_on_low_wasm_memory") void low(void) { run(on_low); }
EXPORT("canister_inspect_message") void inspect(void) { if (on_inspect.n) run(on_inspect); else accept_message(); }
#ifdef HEARTBEAT
EXPORT("canister_heartbeat") void heartbeat(void) { run(on_heartbeat); }
#endif
