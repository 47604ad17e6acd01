# power cuts between signing, writing and sending
7 nodes, seed 5
messages take 2ms to 40ms
20 calls a second
at 500ms: power cut in the middle of a step of 0 1 2
at 700ms: start 0 1 2
at 900ms: power cut in the middle of a step of 2 3 4
at 1100ms: start 2 3 4
at 1300ms: power cut in the middle of a step of 4 5 6
at 1500ms: start 4 5 6
run 3s, recover within 30s
