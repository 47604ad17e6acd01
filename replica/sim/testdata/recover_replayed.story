# a subnet is recovered while a block waits that is not final: who replays its blocks judges none
5 nodes, seed 1011447
intervals of 25 heights
members 0 1 2 3
messages take 17.1ms to 63ms
16 % of messages are lost, 1 % come twice
18 calls a second
the clock of node 3 is 682.7ms ahead
node 0 is 5 times slower
at 567ms: add 4
at 2.192s: wipe the disk of 4
at 2.24s: start 4
at 2.717s: cut 0
at 3.286s: heal
at 3.614s: power cut at 1
at 3.827s: power cut in the middle of a step of 1
at 4.08s: start 1
at 4.147s: slow 1 38 times
at 4.162s: start 1
at 4.707s: power cut at 0 2
at 4.945s: start 0 2
at 5.584s: slow 1 1 times
at 46.622s: recover the subnet
run 50.218s, recover within 1m10s
