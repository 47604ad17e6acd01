# a node whose disk was lost comes back from a package
4 nodes, seed 8
intervals of 12 heights
2 calls a second
at 1s: wipe the disk of 1
at 8s: start 1
run 80s, recover within 60s
expect package 132
