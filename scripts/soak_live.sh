#!/usr/bin/env bash
# Runs `live` on a screen without a monitor for half an hour, recorded and watched, and says whether its memory stays flat.
#
# Usage: scripts/soak_live.sh [SECONDS [window|http]]
#   SECONDS    how long (default 1800)
#   window     shown in a window (default); http: on the page, with one viewer that reads and one that does not
#
# GRADCAM_VIDEO_BIN names the program (default target/release/gradcam-video). Needs Xvfb, ffmpeg, curl. Exits with 1 if memory grows
# by 10 MiB or more after the first tenth of the run.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
seconds=${1:-1800}
preview=${2:-window}
binary=${GRADCAM_VIDEO_BIN:-$root/target/release/gradcam-video}
# shellcheck source=scripts/soak_memory.sh
. "$root/scripts/soak_memory.sh"
# shellcheck source=scripts/virtual_display.sh
. "$root/scripts/virtual_display.sh"

fail() {
    echo "soak_live: $1" >&2
    exit 2
}

[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "'$seconds' is no number of seconds; usage: scripts/soak_live.sh [SECONDS [window|http]]"
[[ $preview =~ ^(window|http)$ ]] || fail "'$preview' is no preview: window or http"
for program in Xvfb ffmpeg curl; do
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

start_display 640x480
screen=$display
# What moves on the screen.
DISPLAY=$screen SDL_RENDER_DRIVER=software ffplay -nostdin -v error -noborder -x 640 -y 480 -loop 0 -an \
    "$root/samples/cup.mp4" >/dev/null 2>&1 &
pids+=($!)
start_display 640x480
sleep 1

DISPLAY=$display "$binary" live "screen:$screen" --quiet --preview "$preview" --listen 127.0.0.1:0 --viewers 4 \
    --record "$work/live.mp4" --records "$work/live.jsonl" --stats "$work/stats.json" --duration "$seconds" 2>"$work/log" &
pid=$!
pids+=("$pid")
if [ "$preview" = http ]; then
    until url=$(grep -o 'http://[^ ]*' "$work/log"); do sleep 0.1; done
    curl -s "${url}stream.mjpg" -o /dev/null &
    pids+=($!)
    # One that takes the connection and reads nothing any more.
    curl -s "${url}stream.mjpg" --limit-rate 1 -o /dev/null &
    pids+=($!)
fi
sample_memory "$pid" 5 >"$work/samples"
status=0
wait "$pid" || status=$?
((status == 0)) || fail "the program ended with exit code $status: $(<"$work/log")"

sed -n '/"live"/,$p' "$work/stats.json"
recorded=$(ffprobe -v error -count_packets -select_streams v -show_entries stream=nb_read_packets -of csv=p=0 "$work/live.mp4")
echo "$recorded frames recorded, $(wc -l <"$work/live.jsonl") lines of records"
judge_memory "$work/samples"
