#!/usr/bin/env bash
# Sets the machine up, then runs every check: format, lints, tests, documentation tests, bounds.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"

# The weights are 49 MiB of it.
checkout_limit_bytes=$((58 * 1024 * 1024))
# The only places where `unsafe` may stand.
unsafe_rooms=(src/ffmpeg_ffi src/model/cpu/kernels src/model/cuda)

# A checkout that belongs to another user is as good as one's own here.
git_here() { git -c "safe.directory=$root" "$@"; }

check_checkout_size() {
    local bytes
    # Files that are deleted but not yet committed so have no size.
    bytes=$(git_here ls-files -z | { xargs -0 stat --format %s -- 2>/dev/null || true; } |
        awk '{ sum += $1 } END { printf "%d", sum }')
    echo "tracked files: $bytes bytes of at most $checkout_limit_bytes"
    ((bytes > 0 && bytes < checkout_limit_bytes))
}

check_unsafe_rooms() {
    local found status=0
    found=$(git_here grep -nE '\bunsafe[[:space:]]*(\{|\(|fn\b|impl\b|extern\b|trait\b)' -- '*.rs' \
        "${unsafe_rooms[@]/#/:(exclude)}") || status=$?
    case $status in
    0) printf 'unsafe code outside %s:\n%s\n' "${unsafe_rooms[*]}" "$found"; return 1 ;;
    1) ;;
    *) return "$status" ;;
    esac
}

run_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked --lib --bins --tests
    else
        cargo test --locked --lib --bins --tests
    fi
}

# The demo's last line on stdout is the path of a video with as many frames as the sample has.
check_demo() {
    local folder out
    folder=$(mktemp -d)
    out=$(GRADCAM_VIDEO_DEMO_PROFILE=dev scripts/demo.sh "$folder/demo.mp4" | tail -n 1)
    count() { ffprobe -v error -count_packets -select_streams v:0 -show_entries stream=nb_read_packets -of csv=p=0 "$1"; }
    echo "demo: $out, $(count "$out") frames"
    [[ $out == "$folder/demo.mp4" && $(count "$out") == "$(count samples/cup.mp4)" ]]
    rm -r -- "$folder"
}

step() {
    local name=$1 start=$SECONDS
    shift
    echo "== $name"
    if ! "$@"; then
        echo "== $name: FAILED after $((SECONDS - start)) s" >&2
        exit 1
    fi
    echo "== $name: $((SECONDS - start)) s"
}

# Not a step: sourced, so that it can put cargo on the PATH.
# shellcheck disable=SC2034 # read there
gradcam_video_setup=tests
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

step "size of the checkout" check_checkout_size
step "rooms of unsafe code" check_unsafe_rooms
step "format" cargo fmt --check
step "lints" cargo clippy --all-targets --locked -- -D warnings
step "lints of the bare library" cargo clippy --lib --no-default-features --locked -- -D warnings
step "tests" run_tests
step "documentation tests" cargo test --doc --locked
step "demo" check_demo
echo "all checks passed in $SECONDS s"
