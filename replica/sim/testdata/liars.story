# two of seven lie in every way
7 nodes, seed 6
messages take 2ms to 30ms
5 % of messages are lost, 5 % come twice
20 calls a second
node 1 is Byzantine: votes for all, sends bad shares, makes bad blocks, certifies a wrong state
node 4 is Byzantine: withholds shares, sends garbage, repeats old messages, signs falsely
run 4s, recover within 60s
expect height 15
