# a node is wiped before it has a share of any key, and has voted: it must not vote again
7 nodes, seed 1020082
intervals of 17 heights
messages take 5.9ms to 42.1ms
18 calls a second
node 3 is 10 times slower
node 5 is 20 times slower
node 6 is 13 times slower
at 79ms: wipe the disk of 3
at 170ms: start 3
run 5s, recover within 1m40s
