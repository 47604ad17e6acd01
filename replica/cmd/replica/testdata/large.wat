;; A canister with as much memory as is wanted. Arguments are numbers of four bytes.
;; large.wasm is made of it by: wat2wasm large.wat
(module
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
  (import "ic0" "msg_arg_data_copy" (func $arg (param i32 i32 i32)))
  (import "ic0" "stable64_grow" (func $sgrow (param i64) (result i64)))
  (import "ic0" "stable64_write" (func $swrite (param i64 i64 i64)))
  (import "ic0" "stable64_read" (func $sread (param i64 i64 i64)))
  (memory 1)
  (global $last (mut i32) (i32.const 0))
  (func $end (call $append (i32.const 0) (i32.const 4)) (call $reply))
  ;; fill FROM TO SEED: the heap's pages of 4 KiB get each a number made of its index and the seed
  (func (export "canister_update fill") (local $i i32)
    (call $arg (i32.const 0) (i32.const 0) (i32.const 12))
    (local.set $i (i32.load (i32.const 0)))
    (if (i32.lt_u (i32.shl (memory.size) (i32.const 4)) (i32.load (i32.const 4)))
      (then (if (i32.lt_s (memory.grow (i32.sub (i32.shr_u (i32.add (i32.load (i32.const 4)) (i32.const 15)) (i32.const 4)) (memory.size))) (i32.const 0)) (then (unreachable)))))
    (block (loop
      (br_if 1 (i32.ge_u (local.get $i) (i32.load (i32.const 4))))
      (i32.store offset=64 (i32.shl (local.get $i) (i32.const 12)) (i32.add (local.get $i) (i32.load (i32.const 8))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br 0)))
    (call $end))
  ;; at PAGE: its number
  (func (export "canister_query at")
    (call $arg (i32.const 0) (i32.const 0) (i32.const 4))
    (i32.store (i32.const 0) (i32.load offset=64 (i32.shl (i32.load (i32.const 0)) (i32.const 12))))
    (call $end))
  ;; put GIB VALUE: the stable memory gets a number at so many GiB
  (func (export "canister_update put")
    (call $arg (i32.const 0) (i32.const 0) (i32.const 8))
    (if (i64.eqz (call $sgrow (i64.const 0))) (then (drop (call $sgrow (i64.const 8192000)))))
    (call $swrite (i64.shl (i64.load32_u (i32.const 0)) (i64.const 30)) (i64.const 4) (i64.const 4))
    (call $end))
  (func (export "canister_query got")
    (call $arg (i32.const 0) (i32.const 0) (i32.const 4))
    (call $sread (i64.const 0) (i64.shl (i64.load32_u (i32.const 0)) (i64.const 30)) (i64.const 4))
    (call $end)))
