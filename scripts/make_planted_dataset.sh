#!/usr/bin/env bash
# Makes a dataset in which one class carries an artefact, its clean twin, and weights for which the artefact matters: what
# `gradcam-video audit` must find, and where it must find nothing.
#
# Usage: scripts/make_planted_dataset.sh DIR
#   DIR/planted, DIR/clean      a folder of photos for each class
#   DIR/weights.safetensors     for --weights
#   DIR/truth.json              which class, which region, which files
#
# GRADCAM_VIDEO_PLANTED_PROFILE names the cargo profile (default release).
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
if (($# != 1)); then
    echo "usage: scripts/make_planted_dataset.sh DIR" >&2
    exit 2
fi
mkdir -p -- "$1"
folder=$(cd -- "$1" && pwd)
# shellcheck source=scripts/setup.sh
. "$root/scripts/setup.sh"
cd -- "$root"
cargo run --quiet --locked --profile "${GRADCAM_VIDEO_PLANTED_PROFILE:-release}" --example planted_dataset -- "$root" "$folder"
echo "$folder"
