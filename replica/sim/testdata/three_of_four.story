# three of four are enough, and the fourth catches up
4 nodes, seed 7
20 calls a second
at 1s: power cut at 3
at 3s: start 3
run 4s, recover within 30s
expect height 30
