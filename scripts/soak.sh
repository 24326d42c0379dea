#!/usr/bin/env bash
# Explains a long video with the release binary, watches its resident memory, and says whether that stays flat.
#
# Usage: scripts/soak.sh [FRAMES]
#   FRAMES     length of the video, 320x240 with audio (default 10000: some minutes)
#
# GRADCAM_VIDEO_BIN names the program (default target/release/gradcam-video). Needs ffmpeg. Exits with 1 if memory grows
# by 10 MiB or more after the first tenth of the run, or if frames are missing.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
frames=${1:-10000}
binary=${GRADCAM_VIDEO_BIN:-$root/target/release/gradcam-video}
# shellcheck source=scripts/soak_memory.sh
. "$root/scripts/soak_memory.sh"

fail() {
    echo "soak: $1" >&2
    exit 2
}

[[ $frames =~ ^[1-9][0-9]*$ ]] || fail "'$frames' is no number of frames; usage: scripts/soak.sh [FRAMES]"
command -v ffmpeg >/dev/null || fail "ffmpeg is missing"
[ -x "$binary" ] || fail "there is no program $binary; run: cargo build --release"

work=$(mktemp -d)
pid=''
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf -- "$work"' EXIT

ffmpeg -nostdin -v error -f lavfi -i testsrc2=size=320x240:rate=25 -f lavfi -i sine=sample_rate=44100 \
    -frames:v "$frames" -shortest -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac "$work/in.mp4"

"$binary" --quiet --stats "$work/stats.json" "$work/in.mp4" "$work/out.mp4" &
pid=$! start=$SECONDS
sample_memory "$pid" >"$work/samples"
status=0
wait "$pid" || status=$?
pid=''
((status == 0)) || fail "the program ended with exit code $status"

written=$(sed -n 's/.*"frames_out": \([0-9]*\).*/\1/p' "$work/stats.json")
echo "$written frames in $((SECONDS - start)) s"
[[ $written == "$frames" ]] || {
    echo "expected $frames frames"
    exit 1
}

judge_memory "$work/samples"
