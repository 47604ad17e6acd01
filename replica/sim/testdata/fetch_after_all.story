# power cuts in a fetch of a state come last of all, and the node is started again
4 nodes, seed 900024
intervals of 15 heights
the state has 47 pages
messages take 2.2ms to 22.9ms
22 calls a second
the clock of node 2 is 1.6072s behind
at 1.354s: move the clock of 1 by 4.166s
at 1.445s: kill 0 1
at 1.473s: power cut in the middle of a save of 1 3
at 1.486s: kill 0
at 2.985s: start 0 1
at 3.163s: cut 2 3
at 3.653s: start 0
at 3.693s: start 1 3
at 5.649s: heal
at 10.5068s: wipe the disk of 2
at 11.9298s: power cut in the middle of a fetch of 2
at 11.9298s: start 2
at 12.9688s: power cut in the middle of a fetch of 2
at 12.9688s: start 2
at 13.0018s: start 2
run 11.7168s, recover within 1m10s
