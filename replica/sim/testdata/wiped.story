# a wiped node comes back by the state of a catch-up package, while calls go on
4 nodes, seed 31
intervals of 12 heights
the state has 300 pages
messages take 2ms to 30ms
20 calls a second
at height 165: wipe the disk of 3
at height 170: start 3
run 40s, recover within 60s
expect height 180
expect node 3 fetched 2000 to 7000 KiB
