# a rolling change of the replica's version happens at one height, with one node down
4 nodes, seed 6
intervals of 12 heights
10 calls a second
at 500ms: power cut at 3
at 1s: upgrade to 2
at 6s: start 3
run 10s, recover within 60s
expect version 2
expect package 24
