"""The network as Keras' own ResNet50 with the weights of our file."""

import keras
import numpy as np

from common import Weights, blocks, check_logits

BATCH_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
# Keras numbers a block's convolutions 1 to 3, and its shortcut 0.
UNITS = {"1": ("conv1", "bn1"), "2": ("conv2", "bn2"), "3": ("conv3", "bn3"), "0": ("downsample.0", "downsample.1")}


def layer_names():
    """Triples of Keras' prefix, our convolution, our batch normalisation."""
    yield "conv1", "conv1", "bn1"
    for block in blocks():
        for number, (conv, norm) in UNITS.items():
            if number != "0" or block.has_projection:
                prefix = f"conv{block.stage + 1}_block{block.index + 1}_{number}"
                yield prefix, f"{block.name}.{conv}", f"{block.name}.{norm}"


def resnet50_keras():
    """`keras.applications.ResNet50` with our weights, its logits checked."""
    weights = Weights()
    model = keras.applications.ResNet50(weights=None)
    for prefix, conv, norm in layer_names():
        kernel = weights[f"{conv}.weight"].transpose(2, 3, 1, 0)
        model.get_layer(f"{prefix}_conv").set_weights([kernel, weights[f"{conv}.bias"]])
        model.get_layer(f"{prefix}_bn").set_weights([weights[f"{norm}.{part}"] for part in BATCH_NORM_PARTS])
    head = [weights["fc.weight"].T, weights["fc.bias"]]
    model.get_layer("predictions").set_weights(head)

    pooled = keras.Model(model.input, model.get_layer("avg_pool").output)

    def logits_of(x):
        features = pooled(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), training=False)
        return np.asarray(features) @ head[0] + head[1]

    check_logits("keras", logits_of)
    return model
