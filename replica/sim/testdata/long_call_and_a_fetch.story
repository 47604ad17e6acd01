# a node that was cut off in the middle of long calls fetches a state in the middle of others
4 nodes, seed 9
canisters
intervals of 12 heights
12 calls a second
at height 14: send a call that takes 300 rounds
at height 14: send a call that takes 60 rounds
at height 14: send a call that takes 60 rounds
at height 14: send a call that takes 60 rounds
at height 20: cut 3
at height 130: send a call that takes 60 rounds
at height 130: send a call that takes 60 rounds
at height 130: send a call that takes 60 rounds
at height 150: heal
run 49s, recover within 60s
expect package 132
expect node 3 fetched 10 to 3000 KiB
