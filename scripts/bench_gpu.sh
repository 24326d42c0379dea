#!/usr/bin/env bash
# The network and Grad-CAM on an NVIDIA GPU: right first (against Keras), then how fast, beside PyTorch and pytorch-grad-cam.
#
# Usage: scripts/bench_gpu.sh [OPTIONS]
#   --batches LIST     pictures per batch (default 1,8,32,128)
#   --precisions LIST  default f32,f16,bf16
#   --rounds N         batches that are timed (default 50)
#   --no-compile       leave torch.compile out, which takes minutes
#   --no-torch         ours only
#   --clip FILE        also explain this video (1080p, say) with GRADCAM_VIDEO, and say what each stage waits for
#   --out FILE.md      write the report there too
#
# GRADCAM_VIDEO_GPU_BENCH names a built gpu_bench (else it is built, without FFmpeg), GRADCAM_VIDEO a built gradcam-video with the feature
# cudnn, PYTHON a Python with PyTorch (default python3). The libraries are looked for beside PyTorch's, too.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
fail() { printf 'bench_gpu: %s\n' "$1" >&2; exit "${2:-1}"; }

options=() torch_options=() has_torch=1 clip='' out=''
while (($#)); do
    case $1 in
    --batches | --precisions | --rounds)
        [ -n "${2:-}" ] || fail "$1 needs a value" 2
        options+=("$1" "$2")
        shift 2 ;;
    --no-compile) torch_options+=(--no-compile); shift ;;
    --no-torch) has_torch=''; shift ;;
    --clip) clip=${2:-}; [ -e "$clip" ] || fail "there is no clip '$clip'" 2; shift 2 ;;
    --out) out=${2:-}; [ -n "$out" ] || fail "--out needs a file" 2; shift 2 ;;
    *) fail "unknown option $1; the top of this script lists them" 2 ;;
    esac
done

python=${PYTHON:-python3}
nvidia-smi -L >/dev/null 2>&1 || fail "there is no NVIDIA GPU here (nvidia-smi finds none)"

# Where PyPI's wheels have CUDA's libraries, if PyTorch came with them.
wheels=$("$python" -c 'import importlib.util as u, pathlib
spec = u.find_spec("nvidia")
for folder in spec.submodule_search_locations if spec else ():
    for lib in sorted(pathlib.Path(folder).glob("*/lib")): print(lib, end=":")' 2>/dev/null || true)

bench=${GRADCAM_VIDEO_GPU_BENCH:-}
if [ -z "$bench" ]; then
    # shellcheck source=scripts/setup.sh
    . scripts/setup.sh
    # shellcheck source=scripts/cuda_toolkit.sh
    . scripts/cuda_toolkit.sh
    cargo build --release --locked --example gpu_bench --no-default-features --features cudnn >&2
    bench=target/release/examples/gpu_bench
    wheels=$CUDA_HOME/lib:${CUDNN_LIB:-$CUDA_HOME}/lib:$wheels
fi
# For our programs only: PyTorch brings libraries of its own along.
ours() { LD_LIBRARY_PATH=$wheels${LD_LIBRARY_PATH:-/nowhere} "$@"; }
# Python's caches do not belong beside its sources in this repository.
export PYTHONDONTWRITEBYTECODE=1

lines=$(mktemp)
trap 'rm -f -- "$lines"' EXIT
status=0
ours "$bench" "${options[@]}" | tee "$lines" >&2 || status=$?
if [ -n "$has_torch" ]; then
    "$python" scripts/peers/gpu_torch.py "${options[@]}" "${torch_options[@]}" | tee -a "$lines" >&2 || status=$?
fi

report() {
    echo "## $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1), $(nproc) CPU cores"
    "$python" scripts/peers/report_gpu.py <"$lines"
}

# explain_clip PRECISION: the whole program, and what each stage waits for.
explain_clip() {
    local folder
    folder=$(mktemp -d)
    if ours "${GRADCAM_VIDEO:-target/release/gradcam-video}" "$clip" "$folder/out.mp4" --device cuda --precision "$1" --stats "$folder/stats.json" -q; then
        "$python" scripts/peers/report_waits.py "$clip, $1" "$folder/stats.json" || status=$?
    else
        status=$?
        echo "$clip, $1: failed"
    fi
    rm -r -- "$folder"
}

report >"$lines.md" || status=$?
if [ -n "$clip" ]; then
    for precision in f32 f16; do explain_clip "$precision" >>"$lines.md"; done
fi
cat -- "$lines.md"
[ -z "$out" ] || cp -- "$lines.md" "$out"
rm -f -- "$lines.md"
exit "$status"
