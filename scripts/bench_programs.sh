#!/usr/bin/env bash
# Compares whole programs that explain a 720p video on two cores, from file to file: ours, and what a user would run instead.
#
# Usage: scripts/bench_programs.sh [OPTIONS]
#   --rounds N            interleaved rounds (default 3)
#   --seconds S           seconds of the default clip (default 2)
#   --clip FILE           another video instead of the default clip, which is samples/cup.mp4 scaled to 1280x720
#   --only LIST           programs, separated by commas (default: all that this CPU can run):
#                           ours-f32 ours-bf16                  gradcam-video
#                           openvino openvino-2 openvino-bf16   OpenVINO with a closed-form CAM written by hand; -2: two frames at once
#                           onnxruntime onnxruntime-2           ONNX Runtime, likewise
#                           gradcam-readme gradcam-frozen       pytorch-grad-cam as its README shows; with frozen weights
#                           keras-seed keras-function           the Keras walk-through's steps; the same as a tf.function
#   --out FILE.md         write the table there too
#
# GRADCAM_VIDEO names a built program to use; without it a release build is made. The peers are installed from PyPI into
# target/peers-venv, only those that are asked for (Keras 2 GB, PyTorch 5 GB). Run it on a quiet machine.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/peers/environment.sh
. "$root/scripts/peers/environment.sh"

all=ours-f32,ours-bf16,openvino,openvino-2,openvino-bf16,onnxruntime,onnxruntime-2,gradcam-readme,gradcam-frozen,keras-seed,keras-function
rounds=3 seconds=2 clip='' only=$all out=''
while (($#)); do
    case $1 in
    --rounds) rounds=$(peers_count "$1" "${2:-}"); shift 2 ;;
    --seconds)
        seconds=${2:-}
        [[ $seconds =~ ^[0-9]+(\.[0-9]+)?$ ]] || peers_fail "--seconds takes a number, such as 2 or 0.5" 2
        shift 2 ;;
    --clip) [ -f "${2:-}" ] || peers_fail "--clip: there is no file '${2:-}'" 2; clip=$(realpath -- "$2"); shift 2 ;;
    --only) only=${2:-}; shift 2 ;;
    --out)
        [ -n "${2:-}" ] || peers_fail "--out takes a file" 2
        out=$(realpath -m -- "$2")
        mkdir -p -- "$(dirname -- "$out")"
        shift 2 ;;
    -h | --help) peers_usage; exit ;;
    *) peers_fail "unknown option $1; see --help" 2 ;;
    esac
done

programs=() extras=()
IFS=, read -ra asked <<<"$only"
for name in "${asked[@]}"; do
    [[ ,$all, == *",$name,"* ]] || peers_fail "--only: unknown program '$name'; see --help" 2
    case $name in
    *-bf16) peers_has_bf16 || { echo "this CPU has no bf16 arithmetic (avx512_bf16): $name left out" >&2; continue; } ;;
    gradcam-*) extras+=(torch) ;;
    keras-*) extras+=(keras) ;;
    esac
    programs+=("$name")
done
((${#programs[@]})) || peers_fail "nothing is left to measure"

work=$root/target/peers
runs=$work/programs.jsonl
model=$work/resnet50.onnx
result=$work/result.mp4
stats=$work/stats.json

# Two cores on any machine: the first CPU of each of the first two cores that this process may use.
two_cores() {
    local allowed
    allowed=$(taskset -cp $$ | sed 's/.*: //')
    lscpu --parse=CPU,CORE,SOCKET | awk -F, -v allowed="$allowed" '
        BEGIN { count = split(allowed, part, ","); for (i = 1; i <= count; i++) { split(part[i] "-" part[i], end, "-")
                for (cpu = end[1]; cpu <= end[2]; cpu++) may[cpu + 0] = 1 } }
        !/^#/ && $1 in may && !seen[$2, $3]++ && used < 2 { printf "%s%s", (used++ ? "," : ""), $1 }'
}

run() {
    local name=$1 title=$2
    shift 2
    echo "-- $name" >&2
    rm -f -- "$result"
    taskset -c "$cores" "$peers_python" "$peers_folder/run_program.py" "${run_options[@]}" "$title" "$result" -- "$@"
}
run_ours() {
    local run_options=(--stats "$stats")
    run "ours-$1" "gradcam-video $1" "$peers_binary" -q -y "$clip" "$result" --precision "$1" --workers 2 --stats "$stats"
}
run_python() {
    local run_options=() name=$1 title=$2 program=$3
    shift 3
    run "$name" "$title" "$peers_python" "$peers_folder/$program" "$clip" "$result" --threads 2 "$@"
}
run_engine() { run_python "$1" "$2" program_engine.py --model "$model" --engine "${@:3}"; }

run_by_name() {
    local cam="closed-form CAM by hand"
    case $1 in
    ours-*) run_ours "${1#ours-}" ;;
    openvino) run_engine "$1" "OpenVINO, $cam" openvino ;;
    openvino-2) run_engine "$1" "OpenVINO, $cam, two frames at once" openvino --in-flight 2 ;;
    openvino-bf16) run_engine "$1" "OpenVINO bf16, $cam" openvino --precision bf16 ;;
    onnxruntime) run_engine "$1" "ONNX Runtime, $cam" onnxruntime ;;
    onnxruntime-2) run_engine "$1" "ONNX Runtime, $cam, two frames at once" onnxruntime --in-flight 2 ;;
    gradcam-readme) run_python "$1" "pytorch-grad-cam as its README shows" program_torch.py ;;
    gradcam-frozen) run_python "$1" "pytorch-grad-cam, frozen weights" program_torch.py --frozen ;;
    keras-seed) run_python "$1" "Keras walk-through, GradientTape" program_keras.py ;;
    keras-function) run_python "$1" "Keras, tf.function" program_keras.py --function ;;
    esac
}

for tool in ffmpeg ffprobe taskset; do
    command -v "$tool" >/dev/null || peers_fail "$tool is missing"
done
peers_warn_if_busy
peers_install "${extras[@]}"
peers_build
mkdir -p -- "$work"
"$peers_python" "$peers_folder/model.py" "$model"
if [ -z "$clip" ]; then
    clip=$work/cup-720p.mp4
    ffmpeg -v error -y -i "$root/samples/cup.mp4" -t "$seconds" -vf scale=1280:720 -crf 18 -c:a copy "$clip" </dev/null
fi
cores=$(two_cores)

: >"$runs"
for ((round = 0; round < rounds; round++)); do
    echo "round $((round + 1)) of $rounds" >&2
    # Each round starts with another program, so that none always runs first.
    for ((index = 0; index < ${#programs[@]}; index++)); do
        run_by_name "${programs[(index + round) % ${#programs[@]}]}" | tee -a -- "$runs" >&2
    done
done

"$peers_python" "$peers_folder/report_programs.py" "$runs" "$clip" | tee -- ${out:+"$out"}
