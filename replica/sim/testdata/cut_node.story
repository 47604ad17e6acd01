# a node that is cut off comes back without a restart
4 nodes, seed 3
messages take 5ms to 25ms
10 calls a second
at height 20: cut 3
at 8s: heal
run 10s, recover within 30s
expect height 40
