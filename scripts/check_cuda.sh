#!/usr/bin/env bash
# Builds for NVIDIA GPUs on a machine that has none, with every lint, and runs the result as far as that goes.
# Usage: scripts/check_cuda.sh [--if-changed]
#   --if-changed  does nothing if what the build depends on is as it was when it last passed (.ci/cuda-checked)
# When it passes, it writes that state down: commit it.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
state_file=.ci/cuda-checked

# What a change of is most likely to break the build for GPUs.
state() {
    git -c "safe.directory=$root" ls-files -z -- src/model tests/tools/gpu_bench.rs Cargo.toml Cargo.lock scripts/check_cuda.sh scripts/cuda_toolkit.sh |
        sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
}

case "${1:-}" in
"") ;;
--if-changed)
    if [ "$(state)" = "$(cat "$state_file" 2>/dev/null)" ]; then
        echo "check_cuda: skipped, as src/model and Cargo.* are what they were when it last passed"
        exit 0
    fi
    ;;
*)
    echo "usage: scripts/check_cuda.sh [--if-changed]" >&2
    exit 2
    ;;
esac

# shellcheck disable=SC2034 # read there
gradcam_video_setup=tests
# shellcheck source=scripts/setup.sh
. scripts/setup.sh
# shellcheck source=scripts/cuda_toolkit.sh
. scripts/cuda_toolkit.sh

start=$SECONDS
for features in cuda cudnn; do
    echo "== lints with feature $features"
    cargo clippy --all-targets --locked --features "$features" -- -D warnings
done
echo "== build with feature cudnn"
cargo build --locked --features cudnn --bin gradcam-video --example gpu_bench

# The driver's stand-in comes first: it is the only one on a machine without a GPU, and says so.
echo "== run without a GPU"
folder=$(mktemp -d)
trap 'rm -r -- "$folder"' EXIT
program() {
    LD_LIBRARY_PATH=target/cuda/stubs:$CUDA_HOME/lib:$CUDA_HOME/lib64:${CUDNN_LIB:-$CUDA_HOME}/lib target/debug/gradcam-video "$@"
}
program samples/cup.mp4 "$folder/auto.mp4" --end 0.2 2>"$folder/auto.log"
grep -q 'note: the network runs on the CPU: cannot use a GPU' "$folder/auto.log"
status=0
program samples/cup.mp4 "$folder/cuda.mp4" --device cuda 2>"$folder/cuda.log" || status=$?
cat "$folder/cuda.log"
[ "$status" = 1 ] || { echo "check_cuda: exit code $status, not 1" >&2; exit 1; }
[ "$(wc -l <"$folder/cuda.log")" = 1 ] || { echo "check_cuda: more than one line" >&2; exit 1; }
[ ! -e "$folder/cuda.mp4" ] || { echo "check_cuda: there is an output" >&2; exit 1; }
program samples/cup.mp4 "$folder/cpu.mp4" --device cpu --end 0.2 -q

state >"$state_file"
echo "check_cuda: passed in $((SECONDS - start)) s"
