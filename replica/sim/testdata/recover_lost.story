# two of four lose their disks, and no quorum is left that may vote, until the registry says where to go on
4 nodes, seed 5
intervals of 12 heights
messages take 2ms to 30ms
20 calls a second
at 3s: wipe the disk of 2 3
at 4s: start 2 3
at 45s: recover the subnet
run 52s, recover within 60s
expect height 60
