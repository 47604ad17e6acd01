# two of seven answer with false states, cut ones, garbage and nothing
7 nodes, seed 34
intervals of 12 heights
the state has 200 pages
messages take 2ms to 30ms
3 % of messages are lost, 2 % come twice
10 calls a second
node 1 is Byzantine: sends garbage
node 4 is Byzantine: signs falsely
at height 10: cut 6
at height 200: heal
run 70s, recover within 90s
expect height 210
expect node 6 fetched 2000 to 9000 KiB
