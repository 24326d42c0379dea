#!/usr/bin/env bash
# What audits of a large dataset need: the memory and time of everything but looking at the pictures.
# Usage: scripts/soak_audit.sh [FILES]. Makes a journal of so many files that were looked at already, with random maps, classes and hashes,
# and goes on with it: the walk, the merge, duplicates, clusters, findings, report. The files themselves are empty.
# GRADCAM_VIDEO_BIN names the program (default target/release/gradcam-video). Needs Python 3.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
files=${1:-1000000}
program=${GRADCAM_VIDEO_BIN:-$root/target/release/gradcam-video}
[ -x "$program" ] || { echo "soak_audit: there is no program $program; run: cargo build --release" >&2; exit 2; }
cd -- "$root"
folder=$(mktemp -d "${TMPDIR:-/tmp}/soak_audit.XXXXXX")
trap 'rm -r -- "$folder"' EXIT
mkdir "$folder/dataset"

# One real picture, so that the program itself writes what the run began with.
cp samples/chelsea.png "$folder/dataset/000.png"
"$program" audit "$folder/dataset" --out "$folder/shard" --shard 1/1 --labels none -q
echo "making $files files and their journal"
python3 - "$folder" "$files" <<'PYTHON'
import json, os, random, sys
folder, files = sys.argv[1], int(sys.argv[2])
random.seed(1)
journal = os.path.join(folder, "shard/journal/0001.jsonl")
record, item = [json.loads(line) for line in open(journal)]
os.remove(os.path.join(folder, "dataset/000.png"))
os.remove(os.path.join(folder, "shard/manifest.json"))
maps = [[[round(random.random() ** 3, 4) for _ in range(7)] for _ in range(7)] for _ in range(1000)]
with open(journal, "w") as out:
    for number in range(files):
        name = f"{number // 1000:04d}/{number % 1000:03d}.jpg"
        path = os.path.join(folder, "dataset", name)
        if number % 1000 == 0:
            os.mkdir(os.path.dirname(path))
        os.close(os.open(path, os.O_CREAT))
        one, top = record["record"], random.randrange(1000)
        one["path"], one["target"] = name, top
        one["prob"] = random.random()
        one["top"] = [{"index": (top + place) % 1000, "label": f"class_{top}", "prob": one["prob"] / 2**place} for place in range(5)]
        one["heatmap"] = maps[random.randrange(1000)]
        one["metrics"]["hash"] = f"{random.getrandbits(64):016x}"
        digits = f"{random.getrandbits(80):020x}"
        one["thumb"] = f"thumbs/{digits[:2]}/{digits[2:]}.jpg"
        item["item"]["path"], item["item"]["digest"] = name, f"{random.getrandbits(128):032x}"
        out.write(json.dumps(record, separators=(",", ":")) + "\n" + json.dumps(item, separators=(",", ":")) + "\n")
PYTHON
measured() {
    python3 -c 'import resource, subprocess, sys, time
start = time.monotonic()
code = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{time.monotonic() - start:.1f} s, {used.ru_utime:.1f} s user, {used.ru_maxrss / 1024:.1f} MiB at most, exit code {code}")' "$@"
}
du -sh "$folder/shard/journal"
echo "going on with it"
measured "$program" audit "$folder/dataset" --out "$folder/shard" --shard 1/1 --labels none --resume
measured "$program" audit merge "$folder/shard" --out "$folder/report"
ls -l "$folder/report"
