# a node that was cut off for long fetches what has changed
4 nodes, seed 32
intervals of 12 heights
the state has 300 pages
20 calls a second
at height 10: cut 3
at height 150: heal
run 100s, recover within 60s
expect height 210
expect node 3 fetched 1000 to 9000 KiB
