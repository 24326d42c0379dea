"""The network that all peers run: our weight file, its topology, and the golden answers to check a peer by."""

import json
import resource
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "weights" / "resnet50-keras-f16.safetensors"
GOLDEN = ROOT / "tests" / "golden"
PHOTOS = ("chelsea", "coffee", "china", "catdog")

INPUT_SIZE = 224
BLOCKS_PER_STAGE = (3, 4, 6, 3)
CAFFE_MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)
# Largest difference of a logit from Keras'. bf16 keeps 8 bits: off by up to 0.35 in OpenVINO on other photos.
TOLERANCE = {"f32": 1e-3, "bf16": 1.0}


@dataclass(frozen=True)
class Block:
    """A bottleneck: `stage` from 1 to 4, `index` from 0. Keras' v1 strides in the first 1x1."""

    stage: int
    index: int

    @property
    def name(self):
        return f"layer{self.stage}.{self.index}"

    @property
    def stride(self):
        return 2 if self.stage > 1 and self.index == 0 else 1

    @property
    def has_projection(self):
        return self.index == 0


def blocks():
    """All bottlenecks from the input to the output."""
    return [Block(stage, index) for stage, count in enumerate(BLOCKS_PER_STAGE, start=1) for index in range(count)]


class Weights:
    """Tensors of the weight file in f32, and its metadata."""

    def __init__(self, path=WEIGHTS):
        self.tensors = {name: t.astype(np.float32) for name, t in load_file(path).items()}
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
        if metadata["arch"] != "resnet50" or metadata["stride_in_1x1"] != "true":
            raise SystemExit(f"{path}: not the Keras ResNet50 (v1)")
        self.epsilon = float(metadata["bn_eps"])
        self.labels = json.loads(metadata["labels"])

    def __getitem__(self, name):
        return self.tensors[name]

    def folded(self, conv, norm, dtype=np.float32):
        """Kernel and bias of a convolution with the batch normalisation behind it folded in, computed in f64."""
        gamma, beta, mean, variance = (
            self[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + self.epsilon)
        kernel = self[f"{conv}.weight"] * scale[:, None, None, None]
        bias = beta + (self[f"{conv}.bias"] - mean) * scale
        return kernel.astype(dtype), bias.astype(dtype)


def network_input(rgb):
    """`preprocess_input` of Keras for one 224x224 RGB picture: `[1, 3, 224, 224]`, BGR minus the mean."""
    bgr = rgb[..., ::-1].astype(np.float32) - CAFFE_MEAN_BGR
    return np.ascontiguousarray(bgr.transpose(2, 0, 1)[None])


def golden_inputs():
    """The network's input for each golden photo."""
    return [network_input(load_file(GOLDEN / f"{photo}.safetensors")["resized_u8"]) for photo in PHOTOS]


def check_logits(name, logits_of, precision="f32"):
    """Stops the program unless `logits_of(input)` agrees with Keras' logits for every golden photo.

    A peer that silently computes in another precision than it was told is found here too.
    """
    largest = 0.0
    for photo, x in zip(PHOTOS, golden_inputs(), strict=True):
        expected = load_file(GOLDEN / f"{photo}.safetensors")["logits"]
        actual = np.asarray(logits_of(x), np.float32).reshape(-1)
        if actual.shape != expected.shape or not np.isfinite(actual).all():
            raise SystemExit(f"{name}: {photo}: logits of shape {actual.shape}, or not finite")
        largest = max(largest, float(np.abs(actual - expected).max()))
    if largest > TOLERANCE[precision]:
        raise SystemExit(
            f"{name}: logits differ from Keras' by {largest:.2g}, allowed in {precision} is {TOLERANCE[precision]:g}"
        )
    return largest


def closed_form_cam(fc_weight, logits, activations):
    """Grad-CAM of the top class at the last layer without a backward pass: the head is average pool and `fc`.

    Returns the class, its probability, and the 7x7 map in [0, 1].
    """
    logits = logits.reshape(-1)
    target = int(logits.argmax())
    exponentials = np.exp(logits - logits[target])
    channels, height, width = activations.shape[-3:]
    raw = fc_weight[target] @ activations.reshape(channels, height * width)
    heat = np.maximum(raw, 0).reshape(height, width)
    return target, float(1 / exponentials.sum()), heat / max(heat.max(), 1e-12)


def cpu_seconds():
    """User and system time of this process, all threads, and of children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
