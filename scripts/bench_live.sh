#!/usr/bin/env bash
# Measures how late a live preview is: in one screen a clock runs and a photo goes from side to side; `live` looks at it and shows it in
# another, where the clock is read from the pixels, and the heat is seen to arrive where the photo is.
#
# Usage: scripts/bench_live.sh [SECONDS [OPTION...]]
#   SECONDS    how long the clock is read (default 20)
#   OPTION     further options of `live`, such as --workers 2
#
# The bar: pictures, and maps, later than two model times and 50 ms are at most a twentieth. GRADCAM_VIDEO_BIN names the program (default
# target/release/gradcam-video). Needs Xvfb, ffmpeg, Python 3. Run it on a quiet machine.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
seconds=${1:-20}
shift $(($# > 0 ? 1 : 0))
binary=${GRADCAM_VIDEO_BIN:-$root/target/release/gradcam-video}
width=1280 height=720
# shellcheck source=scripts/virtual_display.sh
. "$root/scripts/virtual_display.sh"
# The label lies above.
strip=0,0.9,1,0.1
# How long the photo stays on a side, in milliseconds, and where its face is then.
flip=500
places=0.176,0.28,0.824,0.28

fail() {
    echo "bench_live: $1" >&2
    exit 2
}

[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "'$seconds' is no number of seconds; usage: scripts/bench_live.sh [SECONDS [OPTION...]]"
for program in Xvfb ffmpeg python3; do
    command -v "$program" >/dev/null || fail "$program is missing"
done
[ -x "$binary" ] || fail "there is no program $binary; run: cargo build --release"

work=$(mktemp -d)
pids=()
# shellcheck disable=SC2317,SC2329 # called by the trap
clean_up() {
    kill "${pids[@]}" 2>/dev/null || true
    rm -rf -- "$work"
}
trap clean_up EXIT

ffmpeg -nostdin -v error -i "$root/samples/chelsea.png" "$work/photo.ppm"
start_display "${width}x$height"
screen=$display
python3 "$root/scripts/live_clock.py" show --display "$screen" --image "$work/photo.ppm" --strip "$strip" --flip "$flip" >"$work/show" &
pids+=($!)
until grep -q READY "$work/show"; do sleep 0.1; done
start_display "${width}x$height"

DISPLAY=$display "$binary" live "screen:$screen" --quiet --preview window --stats "$work/stats.json" "$@" &
pid=$!
pids+=("$pid")
# The first seconds are those of a network that is being loaded.
sleep 4
python3 "$root/scripts/live_clock.py" read --display "$display" --window '' --seconds "$seconds" --strip "$strip" \
    --flip "$flip" --places "$places" --wait 10 >"$work/clock.json"
kill -TERM "$pid"
wait "$pid" || (($? == 130)) || fail "the program failed"

python3 - "$work/clock.json" "$work/stats.json" <<'PYTHON'
import json
import sys

clock, stats = (json.load(open(path)) for path in sys.argv[1:])
live, stages = stats["live"], stats["stages"]
frames = live["frames"]
passes_ms = stages["preprocess"]["cpu_ms"] + stages["model"]["cpu_ms"] + stages["explain"]["cpu_ms"]
model_ms = passes_ms / max(1, frames["explained"])
bar_ms = 2 * model_ms + 50
print(f"read from the clock: {json.dumps(clock)}")
print(f"by its own account: pictures {live['latency_ms']}, maps {live['map_latency_ms']}, frames {frames}")
print(f"{stats['fps']:.1f} pictures/s, {frames['explained'] / stats['wall_s']:.1f} maps/s, {stats['peak_rss_mb']:.0f} MiB")
p95 = clock["latency_ms"]["p95"]
map_p95 = live["map_latency_ms"]["p95"]
# The photo moves up to a capture interval before the frame that shows it is captured.
heat_p95 = clock["map_latency_ms"].get("p95", float("inf"))
interval_ms = 1000 * stats["wall_s"] / max(1, frames["captured"])
is_held = p95 < bar_ms and map_p95 < bar_ms and heat_p95 < bar_ms + interval_ms
verdict = "holds" if is_held else "MISSED"
print(
    f"model time {model_ms:.1f} ms; bar {bar_ms:.0f} ms (two model times + 50 ms); "
    f"pictures p95 {p95:.1f} ms, maps p95 {map_p95:.1f} ms by its own account; heat behind the photo's move, up to "
    f"{interval_ms:.0f} ms of it before the capture, p95 {heat_p95:.1f} ms: {verdict}"
)
sys.exit(verdict != "holds")
PYTHON
