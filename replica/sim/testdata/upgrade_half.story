# two of four change the version, and the others lose the certificate of that height in a power cut: the package vouches for their state
4 nodes, seed 3000264
intervals of 11 heights
messages take 16.9ms to 63.9ms
14 % of messages are lost, 18 % come twice
32 calls a second
the clock of node 2 is 1.5476s behind
at 16ms: power cut in the middle of a step of 2
at 518ms: start 2
at 645ms: power cut at 2
at 1.282s: upgrade to 2
at 1.372s: silence 1 to 1 3
at 1.629s: start 2
at 1.942s: heal
at 3.027s: power cut at 0 1 2 3
at 4.378s: slow 1 2 84 times
at 4.95s: kill 1
at 4.979s: power cut at 1
at 5.263s: start 0 1 2 3
at 5.333s: slow 1 2 1 times
run 12s, recover within 1m10s
expect version 2
expect height 14
