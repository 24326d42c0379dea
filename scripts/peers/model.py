"""Writes the network as ONNX for the inference engines, the way that is fastest for them.

Batch normalisation is folded into the convolutions. Outputs: `logits` [1, 1000] and `activations` [1, 2048, 7, 7] (after layer4).

With `--pull-strides`, the last block of a stage computes only the pixels that the next stage's strided 1x1 convolutions read. That is
exact. OpenVINO does it by itself, ONNX Runtime does not.

Usage: model.py OUT.onnx [--pull-strides]
"""

import argparse

import onnx
from onnx import TensorProto, helper, numpy_helper

from common import BLOCKS_PER_STAGE, INPUT_SIZE, Weights, blocks

OPSET = 17
IR_VERSION = 8


class Graph:
    """Collects nodes and weights. Each method adds one operation and returns the name of its output."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes = []
        self.initializers = []

    def constant(self, name, array):
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x, conv, norm, stride=1):
        kernel, bias = self.weights.folded(conv, norm)
        size = kernel.shape[-1]
        names = [self.constant(f"{conv}.weight", kernel), self.constant(f"{conv}.bias", bias)]
        return self.node("Conv", [x, *names], conv, kernel_shape=[size] * 2, strides=[stride] * 2, pads=[size // 2] * 4)

    def relu(self, x):
        return self.node("Relu", [x], f"{x}.relu")


def bottleneck(graph, x, block, stride, output_stride):
    """A block that strides in its first 1x1; with `output_stride` 2 it computes only every second pixel of its output."""
    name = block.name
    y = graph.relu(graph.conv(x, f"{name}.conv1", f"{name}.bn1", stride))
    y = graph.relu(graph.conv(y, f"{name}.conv2", f"{name}.bn2", output_stride))
    y = graph.conv(y, f"{name}.conv3", f"{name}.bn3")
    if block.has_projection:
        x = graph.conv(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
    if output_stride == 2:
        x = graph.node("MaxPool", [x], f"{name}.every_second", kernel_shape=[1, 1], strides=[2, 2])
    return graph.relu(graph.node("Add", [y, x], f"{name}.sum"))


def build(weights, pull_strides=False):
    """The whole network as a checked ONNX model."""
    graph = Graph(weights)
    x = graph.relu(graph.conv("input", "conv1", "bn1", 2))
    # After a ReLU, padding with zeros (Keras) and with minus infinity (ONNX) is the same.
    x = graph.node("MaxPool", [x], "maxpool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    is_pulled = False
    for block in blocks():
        stride = 1 if is_pulled else block.stride
        is_last_of_stage = block.index == BLOCKS_PER_STAGE[block.stage - 1] - 1
        is_pulled = pull_strides and is_last_of_stage and block.stage < len(BLOCKS_PER_STAGE)
        x = bottleneck(graph, x, block, stride, 2 if is_pulled else 1)
    activations = graph.node("Identity", [x], "activations")
    pooled = graph.node("Flatten", [graph.node("GlobalAveragePool", [x], "pool")], "features")
    fc = [graph.constant(f"fc.{part}", weights[f"fc.{part}"]) for part in ("weight", "bias")]
    logits = graph.node("Gemm", [pooled, *fc], "logits", transB=1)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "resnet50",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, INPUT_SIZE, INPUT_SIZE])],
            [
                helper.make_tensor_value_info(logits, TensorProto.FLOAT, [1, 1000]),
                helper.make_tensor_value_info(activations, TensorProto.FLOAT, [1, 2048, 7, 7]),
            ],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT.onnx")
    parser.add_argument("--pull-strides", action="store_true")
    args = parser.parse_args()
    onnx.save(build(Weights(), args.pull_strides), args.out)


if __name__ == "__main__":
    main()
