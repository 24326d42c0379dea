"""Grad-CAM of the golden photos in f64: what the maps are before anybody rounds. Writes tests/golden/exact.safetensors; needs only numpy.

A ReLU whose input lies within f32's rounding of zero lets one implementation's gradient through and stops another's, so that two of them can be right and differ
by more than rounding. This tells which of two maps is nearer to the truth, and prints how far Keras' are from it.
"""

import numpy as np
from common import GOLDEN, PHOTOS, Weights, blocks, network_input
from safetensors.numpy import load_file, save_file

# Whose maps are written; layer4 has no ReLU behind it.
WRITTEN = ("layer2", "layer3")


class Convolution:
    """A convolution of one picture `[channels, side, side]`, batch normalisation folded in, all in f64."""

    def __init__(self, weights, conv, norm, stride):
        self.kernel, self.bias = weights.folded(conv, norm, np.float64)
        self.size, self.stride, self.padding = self.kernel.shape[2], stride, self.kernel.shape[2] // 2

    def forward(self, x):
        """The output, `[out, side, side]`."""
        columns, side = windows(x, self.size, self.stride, self.padding)
        out = len(self.kernel)
        return (self.kernel.reshape(out, -1) @ columns.reshape(-1, side * side) + self.bias[:, None]).reshape(out, side, side)

    def backward(self, gradient, side):
        """The gradient of an input of this side."""
        out, channels, size, _ = self.kernel.shape
        columns = self.kernel.reshape(out, -1).T @ gradient.reshape(out, -1)
        columns = columns.reshape(channels, size, size, *gradient.shape[1:])
        padded = np.zeros((channels, side + 2 * self.padding, side + 2 * self.padding))
        reach = self.stride * gradient.shape[1]
        for row in range(size):
            for column in range(size):
                padded[:, row : row + reach : self.stride, column : column + reach : self.stride] += columns[:, row, column]
        return padded[:, self.padding : self.padding + side, self.padding : self.padding + side]


def windows(x, size, stride, padding):
    """What each output sees, `[channels, size * size, side, side]`, and the output's side."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    seen = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))[:, ::stride, ::stride]
    side = seen.shape[1]
    return seen.transpose(0, 3, 4, 1, 2).reshape(len(x), size * size, side, side), side


class Bottleneck:
    """1x1, 3x3, 1x1, plus the input."""

    def __init__(self, weights, block):
        conv = lambda index, stride: Convolution(weights, f"{block.name}.conv{index}", f"{block.name}.bn{index}", stride)
        self.name = block.name
        self.convs = [conv(1, block.stride), conv(2, 1), conv(3, 1)]
        projection = f"{block.name}.downsample"
        self.projection = Convolution(weights, f"{projection}.0", f"{projection}.1", block.stride) if block.has_projection else None

    def forward(self, x):
        """Remembers what the ReLUs see."""
        self.side, self.seen = x.shape[1], []
        y = x
        for index, conv in enumerate(self.convs):
            y = conv.forward(y)
            if index == 2:
                y = y + (self.projection.forward(x) if self.projection else x)
            self.seen.append(y)
            y = np.maximum(y, 0)
        return y

    def backward(self, gradient):
        """From the output's gradient to the input's."""
        behind = gradient * (self.seen[2] > 0)
        inner = self.convs[2].backward(behind, self.seen[1].shape[1]) * (self.seen[1] > 0)
        inner = self.convs[1].backward(inner, self.seen[0].shape[1]) * (self.seen[0] > 0)
        shortcut = self.projection.backward(behind, self.side) if self.projection else behind
        return self.convs[0].backward(inner, self.side) + shortcut


def exact_maps(weights, rgb):
    """The top class, and its raw map at the end of each stage, `layer1` to `layer4`."""
    x = network_input(rgb)[0].astype(np.float64)
    x = np.maximum(Convolution(weights, "conv1", "bn1", 2).forward(x), 0)
    x = windows(x, 3, 2, 1)[0].max(1)
    passed = []
    for block in blocks():
        bottleneck = Bottleneck(weights, block)
        x = bottleneck.forward(x)
        passed.append((block.stage, bottleneck, x))
    classes = weights["fc.weight"].astype(np.float64)
    top = int((classes @ x.mean((1, 2)) + weights["fc.bias"]).argmax())
    gradient = np.broadcast_to(classes[top][:, None, None] / x[0].size, x.shape)
    maps, stage = {}, None
    for block_stage, bottleneck, activations in reversed(passed):
        if block_stage != stage:
            stage = block_stage
            maps[f"layer{stage}"] = np.einsum("k,khw->hw", gradient.mean((1, 2)), activations)
        gradient = bottleneck.backward(gradient)
    return top, maps


def normalized(raw):
    """As it is drawn: positive evidence from 0 to 1."""
    positive = np.maximum(raw, 0)
    return positive / positive.max()


def main():
    """All photos."""
    weights, written = Weights(), {}
    for photo in PHOTOS:
        keras = load_file(GOLDEN / f"{photo}.safetensors")
        top, maps = exact_maps(weights, keras["resized_u8"])
        if top != keras["logits"].argmax():
            raise SystemExit(f"{photo}: class {top} is not Keras'")
        for layer, raw in sorted(maps.items()):
            difference = np.abs(normalized(raw) - normalized(keras[f"gradcam_logit_raw_{layer}"])).max()
            print(f"{photo} {layer}: Keras differs by up to {difference:.2e}")
            if layer in WRITTEN:
                written[f"{photo}.{layer}"] = raw.astype(np.float32)
    save_file(written, GOLDEN / "exact.safetensors")


if __name__ == "__main__":
    main()
