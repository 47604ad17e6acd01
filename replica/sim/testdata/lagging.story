# a node that was cut off for long fetches what has changed
4 nodes, seed 32
intervals of 12 heights
the state has 300 pages
20 calls a second
at height 20: cut 3
at height 100: heal
run 40s, recover within 60s
expect height 110
expect node 3 fetched 100 to 700 KiB
