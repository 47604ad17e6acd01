# a subnet that the registry halted goes on from the state that the registry names
4 nodes, seed 7
intervals of 12 heights
10 calls a second
at 1s: halt the subnet
at 5s: wipe the disk of 2
at 6s: recover the subnet
run 16s, recover within 60s
expect package 24
