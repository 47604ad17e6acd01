# three of seven leave, and the power fails everywhere before any other node has the package with which those leave
7 nodes, seed 2
intervals of 90 heights
messages take 1ms to 4ms
20 calls a second
at 10ms: remove 4 5 6
at height 269: slow 0 1 2 3 60 times
when 4 5 6 have package 270: power cut at 0 1 2 3 4 5 6
at 60s: slow 0 1 2 3 1 times
at 61s: start 0 1 2 3
at 62s: start 4 5 6
run 80s, recover within 60s
expect members 0 1 2 3
expect height 342
expect node 4 stopped: its last interval has ended
expect node 5 stopped: its last interval has ended
expect node 6 stopped: its last interval has ended
