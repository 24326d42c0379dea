#!/usr/bin/env bash
# Builds the program and explains the sample video. The last line on stdout is the path of the result.
# Usage: scripts/demo.sh [OUT.mp4]
# GRADCAM_VIDEO_DEMO_PROFILE names the cargo profile (default release); the tests use dev, which they have built already.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
out=$(realpath -m -- "${1:-$root/target/demo-out.mp4}")

# shellcheck source=scripts/setup.sh
. "$root/scripts/setup.sh"

cd -- "$root"
mkdir -p -- "$(dirname -- "$out")"
{
    profile=${GRADCAM_VIDEO_DEMO_PROFILE:-release} folder=$profile options=()
    if [[ $profile == dev ]]; then
        folder=debug
        # Else dependencies would have other features than in the tests, and be compiled again.
        options=(--tests)
    fi
    cargo build --profile "$profile" --locked "${options[@]}"
    "${CARGO_TARGET_DIR:-target}/$folder/gradcam-video" -y samples/cup.mp4 "$out"
} >&2
printf '%s\n' "$out"
