#!/usr/bin/env bash
# Makes the pictures of README.md and docs in docs/pictures. Needs bin/nb201 with the XLA plugin, Go,
# and Chromium (`make packages`). They show a small campaign and synthetic trials of all architectures.
#
# The campaign is trained in .cache/pictures and kept: if it was interrupted, it resumes, and if it is
# finished, it is not trained again. Remove the directory to start over.
#
# The campaign: 68 architectures, that is every 250th of the official order and the five with the same
# operation on every edge, on the digits with 8x8 pixels (673 training images), with the schedules 4
# and 16 and two seeds, in networks with 4 channels and one cell per stage. The first 45 also train on
# the digits as they are in the program, with the schedule 4.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
nb201=$PWD/bin/nb201
work=.cache/pictures
mkdir -p $work

if [ ! -e $work/sets/digits-8x8.json ]; then
	# data import wants pixels from 0 to 255, and the digits have 0 to 16.
	zcat configs/digits/digits.csv.gz |
		awk -F, -v OFS=, '{ for (i = 1; i < NF; i++) $i = int($i * 255 / 16); print }' >$work/digits.csv
	"$nb201" data import $work/digits.csv --label last --test 0.25 --valid-seed 0 --size 8 --flip=false \
		--name digits-8x8 --to $work/sets
fi
plan() { "$nb201" plan $work/campaign --seeds 777,888 --channels 4 --cells 1 "$@"; }
uniform=1651,1835,7581,4317,1462 # none, skip_connect, avg_pool_3x3, nor_conv_1x1, nor_conv_3x3
plan --datasets $work/sets/digits-8x8.json --epochs 4,16 --archs "$(seq -s, 0 250 15624),$uniform"
plan --datasets digits --epochs 4 --archs "$(seq -s, 0 250 9750),$uniform"
"$nb201" run $work/campaign --per-device 2

"$nb201" query $work/campaign 750 --dataset digits-8x8 --schedule 16 --plot docs/pictures/query-plot.png
(cd $work && "$nb201" report campaign --to campaign.html) # the page shows this path
go test ./results/report -run Pictures -count=1 -timeout 1h -args -campaign "$PWD/$work/campaign.html"
