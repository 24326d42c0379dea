#!/usr/bin/env bash
# How fast audits are: photos of 640x480 as JPEGs, against what `bench` says of the network alone on as many threads.
# Usage: scripts/bench_audit.sh [PHOTOS] [ROUNDS]. Rounds alternate; the last line has the medians and their ratio.
# GRADCAM_VIDEO_BIN names the program (default target/release/gradcam-video). Needs ffmpeg, Python 3. Run it on a quiet machine.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
photos=${1:-400} rounds=${2:-5}
program=${GRADCAM_VIDEO_BIN:-$root/target/release/gradcam-video}
[ -x "$program" ] || { echo "bench_audit: there is no program $program; run: cargo build --release" >&2; exit 2; }
cd -- "$root"
folder=$(mktemp -d)
trap 'rm -r -- "$folder"' EXIT
threads=$(nproc)

# One picture per frame of the sample, each with another crop.
mkdir "$folder/photos"
ffmpeg -v error -stream_loop -1 -i samples/cup.mp4 -frames:v "$photos" \
    -vf "crop=iw-32:ih-24:'mod(n*5,32)':'mod(n*7,24)',scale=640:480" -q:v 3 "$folder/photos/%06d.jpg"
echo "$photos photos, $(du -sk "$folder/photos" | cut -f 1) KiB, $threads threads"

median() { sort -n | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
field() { python3 -c 'import json, sys; value = json.load(sys.stdin)
for key in sys.argv[1:]: value = value[key]
print(value)' "$@"; }

for ((round = 1; round <= rounds; round++)); do
    "$program" bench --threads "$threads" --frames 100 --json | field model fps >>"$folder/model"
    rm -rf -- "$folder/report"
    start=$(date +%s.%N)
    "$program" audit "$folder/photos" --out "$folder/report" -q >/dev/null
    end=$(date +%s.%N)
    awk -v n="$photos" -v s="$start" -v e="$end" 'BEGIN { print n / (e - s) }' >>"$folder/audit"
    echo "round $round: network $(tail -n 1 "$folder/model"), audit $(tail -n 1 "$folder/audit") pictures/s"
done
model=$(median <"$folder/model") audit=$(median <"$folder/audit")
awk -v m="$model" -v a="$audit" 'BEGIN { printf "network %.1f, audit %.1f pictures/s: %.2f\n", m, a, a / m }'
