# a power cut is to come in a fetch of a state that begins when all is repaired: it does not come any more
4 nodes, seed 1
intervals of 12 heights
the state has 50 pages
20 calls a second
at height 10: wipe the disk of 2
at 55s: power cut in the middle of a fetch of 2
at 55s: start 2
run 55s, recover within 60s
expect height 160
expect node 2 fetched 1000 to 6000 KiB
