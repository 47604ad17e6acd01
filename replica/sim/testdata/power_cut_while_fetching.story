# the power fails in the middle of a fetch, again and again: what is on disk is not fetched again
4 nodes, seed 33
intervals of 12 heights
the state has 300 pages
messages take 20ms to 60ms
20 calls a second
at height 165: wipe the disk of 3
at height 170: power cut in the middle of a fetch of 3
at height 170: start 3
at height 180: power cut in the middle of a fetch of 3
at height 180: start 3
at height 190: start 3
run 40s, recover within 60s
expect node 3 fetched 5000 to 9000 KiB
