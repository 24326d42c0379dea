#!/usr/bin/env bash
# Runs the release binary over damaged copies of small videos and images, and checks that it always ends as it
# promises: a known exit code, one line of error, no half-written file, bounded memory and time.
#
# Usage: scripts/fuzz_media.sh [COUNT] [SECONDS]
#   COUNT      damaged files (default 2000)
#   SECONDS    end after so long, however many are done (default 1800)
#
# GRADCAM_VIDEO_BIN names the program (default target/release/gradcam-video), GRADCAM_VIDEO_FUZZ_SEED the first seed
# (default 1). File N is damaged by seed + N, so that a run can be repeated. Needs ffmpeg, rustc and GNU time.
# What failed is kept in a folder; the last line names it. Exits with 1 if anything failed.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
count=${1:-2000} limit_secs=${2:-1800} seed=${GRADCAM_VIDEO_FUZZ_SEED:-1}
binary=${GRADCAM_VIDEO_BIN:-$root/target/release/gradcam-video}
run_limit_secs=60
memory_limit_kib=$((1024 * 1024))
# Far above what may be resident: a backstop, so that a runaway allocation ends the program and not the machine.
address_space_limit_kib=$((16 * 1024 * 1024))

fail() {
    echo "fuzz_media: $1" >&2
    exit 2
}

for number in "$count" "$limit_secs" "$seed"; do
    [[ $number =~ ^[0-9]+$ ]] || fail "'$number' is no number; usage: scripts/fuzz_media.sh [COUNT] [SECONDS]"
done
for tool in ffmpeg rustc timeout; do
    command -v "$tool" >/dev/null || fail "$tool is missing"
done
# The shell's own `time` does not tell the memory.
time=$(type -P time) || fail "GNU time is missing (Debian's package time)"
[ -x "$binary" ] || fail "there is no program $binary; run: cargo build --release"

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
failures=$(mktemp -d "${TMPDIR:-/tmp}/gradcam-fuzz.XXXXXX")
mkdir -- "$work/clips" "$work/results"

rustc --edition 2024 -O -o "$work/mutate" "$root/fuzz/mutate.rs"

# clip NAME [FFMPEG OPTION...]: eight frames and a tone of the same length.
clip() {
    local name=$1
    shift
    ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=size=96x64:rate=10:duration=0.8 \
        -f lavfi -i sine=duration=0.8:sample_rate=44100 -i "$work/words.srt" -pix_fmt yuv420p "$@" "$work/clips/$name"
}

make_clips() {
    printf '1\n00:00:00,100 --> 00:00:00,400\nwords\n\n2\n00:00:00,500 --> 00:00:00,700\nmore\n' >"$work/words.srt"
    local all=(-map 0 -map 1 -map 2) sound=(-map 0 -map 1) picture=(-map 0)
    clip h264.mp4 "${all[@]}" -c:v libx264 -c:a aac -c:s mov_text
    clip fragments.mp4 "${sound[@]}" -c:v libx264 -g 3 -c:a aac -movflags frag_keyframe+empty_moov
    clip mpeg4.mp4 "${sound[@]}" -c:v mpeg4 -c:a aac -movflags faststart
    clip turned.mp4 "${picture[@]}" -c:v libx264 -g 2
    # The rotation is only written when the stream is copied.
    ffmpeg -nostdin -v error -y -i "$work/clips/turned.mp4" -c copy -metadata:s:v rotate=90 "$work/turned.mp4"
    mv -- "$work/turned.mp4" "$work/clips/turned.mp4"
    clip h264.mkv "${all[@]}" -c:v libx264 -c:a flac -c:s srt
    clip ten-bits.mkv "${all[@]}" -c:v libx264 -pix_fmt yuv422p10 -c:a pcm_s16le -c:s ass
    clip ffv1.mkv "${picture[@]}" -c:v ffv1 -s 160x120
    clip mpeg2.ts "${sound[@]}" -c:v mpeg2video -c:a mp2
    clip h264.ts "${sound[@]}" -c:v libx264 -g 4 -c:a aac
    clip vp9.webm "${all[@]}" -c:v libvpx-vp9 -deadline realtime -c:a libopus -c:s webvtt
    clip vp8.webm "${sound[@]}" -c:v libvpx -deadline realtime -c:a libvorbis
    clip mpeg4.avi "${sound[@]}" -c:v mpeg4 -c:a libmp3lame
    clip mjpeg.avi "${sound[@]}" -c:v mjpeg -pix_fmt yuvj422p -c:a pcm_s16le -s 64x64
    clip raw.avi "${picture[@]}" -c:v rawvideo -pix_fmt bgr24 -s 64x64 -frames:v 3
    clip palette.gif "${picture[@]}"
    clip rgb.png "${picture[@]}" -frames:v 1 -pix_fmt rgb24
    clip alpha16.png "${picture[@]}" -frames:v 1 -pix_fmt rgba64be -s 64x64
    clip grey.png "${picture[@]}" -frames:v 1 -pix_fmt pal8
    clip colour.jpg "${picture[@]}" -frames:v 1 -pix_fmt yuvj420p
    clip colour444.jpg "${picture[@]}" -frames:v 1 -pix_fmt yuvj444p -s 160x120
}

# run_one N: damages a clip, runs the program on it, and prints `clip, exit code, peak KiB, complaints`, separated by tabs.
run_one() {
    local number=$1 folder=$work/run-$1 clip=${clips[$1 % ${#clips[@]}]} round=$(($1 / ${#clips[@]}))
    local input=$folder/in.${clip##*.} output=$folder/out.mp4 status=0 complaints=() options=() from=$folder/in.${clip##*.}
    mkdir -- "$folder"
    "$work/mutate" "$((seed + number))" "$clip" "$input" >"$folder/damage"

    case $clip in
    *.png | *.jpg) output=$folder/out.png ;;
    *)
        # Other ways through the reader in turn: seeking, reading twice, reading what cannot seek, another container.
        case $((round % 6)) in
        1) options=(--start 0.2 --end 0.6) ;;
        2) options=(--normalize video) ;;
        3) from=- ;;
        4) output=$folder/out.mkv ;;
        5) options=(--layout side-by-side --frag) ;;
        esac
        ;;
    esac
    local command=("$binary" --quiet --stride 1000 --preset ultrafast --stats "$folder/stats.json"
        --records "$folder/records.jsonl" "${options[@]}" "$from" "$output")
    printf '%q ' "${command[@]}" >"$folder/command"
    [[ $from != - ]] || printf '< %q' "$input" >>"$folder/command"

    "$time" --quiet --format %M --output "$folder/peak" timeout --kill-after 5 "$run_limit_secs" "${command[@]}" \
        <"$input" >/dev/null 2>"$folder/stderr" || status=$?
    check_run
    printf '%s\t%s\t%s\t%s\n' "${clip##*/}" "$status" "$peak" "${complaints[*]}"
    if ((${#complaints[@]})); then
        printf '%s\n' "clip: ${clip##*/}" "exit code: $status" "peak: $peak KiB" "${complaints[@]}" >"$folder/complaints"
        mv -- "$folder" "$failures/"
    else
        rm -r -- "$folder"
    fi
}

complain() { complaints+=("$1;"); }

# Reads the variables of `run_one`, fills `complaints` and `peak`.
check_run() {
    local lines frames decoded
    peak=$(tail -n 1 -- "$folder/peak")
    lines=$(wc -l <"$folder/stderr")
    case $status in
    0) ((lines == 0)) || complain "speaks though nothing is wrong" ;;
    1 | 2)
        ((lines == 1)) || complain "$lines lines of error"
        # Nothing is wrong with the folder: damage was let through to the muxer or the encoder.
        ! grep -q 'cannot write' -- "$folder/stderr" || complain "damage is reported as a failure to write"
        [ ! -e "$output" ] || complain "output in spite of failure"
        [ ! -e "$folder/stats.json" ] || complain "stats in spite of failure"
        [ ! -e "$folder/records.jsonl" ] || complain "records in spite of failure"
        ;;
    3) ((lines == 1)) || complain "$lines lines about damage" ;;
    124 | 137) complain "no end within $run_limit_secs s" ;;
    *) complain "exit code $status" ;;
    esac
    ! grep -qE 'panicked|internal error' -- "$folder/stderr" || complain "internal error"
    [ -z "$(find "$folder" -name '*.part' -print -quit)" ] || complain "a .part file is left"
    ((peak < memory_limit_kib)) || complain "peak memory of $((peak / 1024)) MiB"
    if ((status == 0 || status == 3)); then
        frames=$(sed -n 's/.*"frames_out": \([0-9]*\).*/\1/p' "$folder/stats.json")
        # Not ffprobe, which gives up if a copied audio stream is damaged.
        decoded=$(ffmpeg -nostdin -v quiet -i "$output" -map 0:v:0 -fps_mode passthrough -f framemd5 - | grep -c '^0,') || true
        ((decoded > 0)) || complain "no picture in the output"
        [[ $decoded == "$frames" ]] || complain "$decoded pictures in the output for ${frames:-0} frames"
    fi
}

# worker W: its share of the files, until the time is over.
worker() {
    local number
    ulimit -v "$address_space_limit_kib"
    for ((number = $1; number < count && SECONDS < limit_secs; number += workers)); do
        run_one "$number"
    done >"$work/results/$1"
}

make_clips
clips=("$work"/clips/*)
workers=$(nproc)
for ((index = 0; index < workers; index++)); do
    worker "$index" &
done
wait

cat -- "$work"/results/* | sort | awk -F '\t' -v asked="$count" -v seconds="$SECONDS" '
    BEGIN { format = "%-18s %6s %6s %6s %6s %6s\n" }
    # Codes that the program promises not to end with share a column.
    function column(code) { return code <= 3 ? code : "other" }
    $1 != clip { clip = $1; clips[++clip_count] = clip }
    { runs++; codes[$1, column($2)]++; sums[column($2)]++; if ($3 > peak) peak = $3 }
    $4 != "" { failed++; complaints[$4]++ }
    END {
        printf format, "exit code", 0, 1, 2, 3, "other"
        for (i = 1; i <= clip_count; i++) {
            clip = clips[i]
            printf format, clip, codes[clip, 0] + 0, codes[clip, 1] + 0, codes[clip, 2] + 0, codes[clip, 3] + 0, codes[clip, "other"] + 0
        }
        printf format, "all", sums[0] + 0, sums[1] + 0, sums[2] + 0, sums[3] + 0, sums["other"] + 0
        printf "\n%d of %d damaged files in %d s, at most %d MiB of memory, %d failed\n", runs, asked, seconds, peak / 1024, failed
        for (complaint in complaints) printf "%6d: %s\n", complaints[complaint], complaint
    }'

if [ -n "$(ls -A -- "$failures")" ]; then
    echo "$failures"
    exit 1
fi
rmdir -- "$failures"
