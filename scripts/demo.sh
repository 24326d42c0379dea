#!/usr/bin/env bash
# Builds the program and explains the sample video. The last line on stdout is the path of the result.
# Usage: scripts/demo.sh [OUT.mp4]
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
out=$(realpath -m -- "${1:-$root/target/demo-out.mp4}")

# shellcheck source=scripts/setup.sh
. "$root/scripts/setup.sh"

cd -- "$root"
mkdir -p -- "$(dirname -- "$out")"
{
    cargo build --release --locked
    cargo run --release --locked --quiet --bin gradcam-video -- -y samples/cup.mp4 "$out"
} >&2
printf '%s\n' "$out"
