#!/usr/bin/env bash
# Compares the network alone with other inference engines on the CPU: OpenVINO, ONNX Runtime, stock candle, PyTorch.
#
# Usage: scripts/bench_peers.sh [OPTIONS]
#   --rounds N            interleaved rounds (default 5, which is the least for a published table)
#   --frames N            frames per program and round (default 20)
#   --precision LIST      f32, bf16 or f32,bf16 (default; bf16 only where this CPU has it)
#   --threads LIST        numbers of threads (default 1,2)
#   --torch               PyTorch too (PyPI's build brings 5 GB along)
#   --out FILE.md         write the table there too
#
# GRADCAM_VIDEO names a built program to use; without it a release build is made. The peers are installed from PyPI into
# target/peers-venv. Run it on a quiet machine.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/peers/environment.sh
. "$root/scripts/peers/environment.sh"

rounds=5 frames=20 precisions=f32,bf16 threads=1,2 extras=() out=''
while (($#)); do
    case $1 in
    --rounds) rounds=$(peers_count "$1" "${2:-}"); shift 2 ;;
    --frames) frames=$(peers_count "$1" "${2:-}"); shift 2 ;;
    --precision)
        precisions=${2:-}
        [[ $precisions =~ ^(f32|bf16)(,(f32|bf16))*$ ]] || peers_fail "--precision takes f32, bf16 or both" 2
        shift 2 ;;
    --threads)
        threads=${2:-}
        [[ $threads =~ ^[1-9][0-9]*(,[1-9][0-9]*)*$ ]] || peers_fail "--threads takes numbers from 1, such as 1,2" 2
        shift 2 ;;
    --torch) extras=(torch); shift ;;
    --out)
        [ -n "${2:-}" ] || peers_fail "--out takes a file" 2
        out=$(realpath -m -- "$2")
        mkdir -p -- "$(dirname -- "$out")"
        shift 2 ;;
    -h | --help) peers_usage; exit ;;
    *) peers_fail "unknown option $1; see --help" 2 ;;
    esac
done

work=$root/target/peers
runs=$work/peers.jsonl
model=$work/resnet50.onnx
model_pulled=$work/resnet50-strides-pulled.onnx

# Each line of `programs`: a command of one measurement.
programs=()
ours() { programs+=("$(printf '%q ' "$peers_folder/ours.py" "$peers_binary" "$@" --frames "$frames")"); }
peer() { programs+=("$(printf '%q ' "$peers_folder/measure.py" "$@" --frames "$frames")"); }

# add_programs PRECISION THREADS
add_programs() {
    local precision=$1 count=$2 in_flight modes=(1)
    local common=(--precision "$precision" --threads "$count")
    ((count == 1)) || modes+=("$count")
    ours "${common[@]}"
    [[ $precision != f32 ]] || ours "${common[@]}" --isa candle
    for in_flight in "${modes[@]}"; do
        peer openvino "$model" "${common[@]}" --in-flight "$in_flight" --program OpenVINO
        if [[ $precision == f32 ]]; then
            peer onnxruntime "$model" "${common[@]}" --in-flight "$in_flight" --program "ONNX Runtime"
            peer onnxruntime "$model_pulled" "${common[@]}" --in-flight "$in_flight" \
                --program "ONNX Runtime, strides pulled by us"
        fi
        if ((${#extras[@]})); then
            peer torch-eager - "${common[@]}" --in-flight "$in_flight" --program "PyTorch eager"
            peer torch-jit - "${common[@]}" --in-flight "$in_flight" --program "PyTorch frozen JIT"
        fi
    done
}

peers_warn_if_busy
peers_install "${extras[@]}"
peers_build
mkdir -p -- "$work"
"$peers_python" "$peers_folder/model.py" "$model"
"$peers_python" "$peers_folder/model.py" "$model_pulled" --pull-strides

for count in ${threads//,/ }; do
    for precision in ${precisions//,/ }; do
        if [[ $precision == bf16 ]] && ! peers_has_bf16; then
            echo "this CPU has no bf16 arithmetic (avx512_bf16): left out" >&2
            continue
        fi
        add_programs "$precision" "$count"
    done
done
((${#programs[@]})) || peers_fail "nothing is left to measure"

: >"$runs"
for ((round = 0; round < rounds; round++)); do
    echo "round $((round + 1)) of $rounds" >&2
    # Each round starts with another program, so that none always runs first.
    for ((index = 0; index < ${#programs[@]}; index++)); do
        program=${programs[(index + round) % ${#programs[@]}]}
        eval "\"\$peers_python\" -W ignore::FutureWarning $program" | tee -a -- "$runs" >&2
    done
done

"$peers_python" "$peers_folder/report_peers.py" "$runs" "$frames" | tee -- ${out:+"$out"}
