"""What a table of measurements was made on: lines of Markdown for its head."""

import datetime
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version

from common import ROOT

ISA_FLAGS = ("avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
PACKAGES = (
    "openvino",
    "onnxruntime",
    "onnx",
    "torch",
    "torchvision",
    "grad-cam",
    "tensorflow-cpu",
    "keras",
    "opencv-python-headless",
    "numpy",
)


def _output(*command):
    """Standard output of a command; empty if there is no such command or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        text = file.read()

    def field(name):
        found = re.search(rf"^{name}\s*: (.*)$", text, re.MULTILINE)
        return found.group(1) if found else "unknown"

    flags = set(field("flags").split())
    names = [name for name in ISA_FLAGS if name in flags]
    model = f"{field('model name')} (family {field('cpu family')}, model {field('model')})"
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {' '.join(names)}"


def _packages():
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _commit():
    git = ("git", "-c", f"safe.directory={ROOT}")
    commit = _output(*git, "rev-parse", "--short=12", "HEAD") or "unknown"
    return commit + (" with uncommitted changes" if _output(*git, "status", "--porcelain") else "")


def description():
    """A list, one fact per item."""
    given = os.environ.get("GRADCAM_VIDEO")
    facts = {
        "Date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Processor": _processor(),
        "Kernel": f"{platform.system()} {platform.release()}",
        "gradcam-video": f"commit {_commit()}, "
        + ("a binary given by GRADCAM_VIDEO" if given else _output("rustc", "--version") or "release build"),
        "Python": f"{platform.python_version()}; {_packages()}",
    }
    return [f"- {name}: {value}" for name, value in facts.items()]
