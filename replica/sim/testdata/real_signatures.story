# the same with Ed25519 and BLS, and a node that sends bad shares
4 nodes, seed 12
signatures are real
10 calls a second
node 2 is Byzantine: sends bad shares, certifies a wrong state
at 300ms: power cut at 0
at 600ms: start 0
run 1s, recover within 60s
