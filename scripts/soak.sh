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
growth_limit_mib=10
table_rows=20
# Fewer samples after the first tenth would say little.
least_samples=10

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
# The memory is gone from the file when the program has ended but was not yet waited for.
while rss=$(awk '/^VmRSS/ { print $2; found = 1 } END { exit !found }' "/proc/$pid/status" 2>/dev/null); do
    echo "$((SECONDS - start)) $rss"
    sleep 1
done >"$work/samples"
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

# Growth is how far memory rises above an earlier sample; that it falls at the end is none.
awk -v limit="$growth_limit_mib" -v rows="$table_rows" -v least="$least_samples" '
    { seconds[NR] = $1; mib[NR] = $2 / 1024 }
    END {
        first = int(NR / 10) + 1
        if (NR - first + 1 < least) {
            print "too short: only " NR " samples, take more frames"
            exit 1
        }
        print "seconds    MiB"
        step = int((NR + rows - 1) / rows)
        for (i = 1; i <= NR; i += step) printf "%7d %6.1f\n", seconds[i], mib[i]
        low = high = mib[first]
        for (i = first; i <= NR; i++) {
            if (mib[i] < low) low = mib[i]
            if (mib[i] > high) high = mib[i]
            if (mib[i] - low > growth) growth = mib[i] - low
        }
        printf "after the first tenth: at most %.1f MiB, growth %.1f MiB, ", high, growth
        is_flat = growth < limit
        print (is_flat ? "flat" : "NOT FLAT (limit " limit " MiB)")
        exit !is_flat
    }' "$work/samples"
