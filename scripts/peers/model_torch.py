"""The network as a PyTorch module: torchvision's ResNet50, its strides and biases changed to Keras' v1."""

import torch
from torch import nn
from torchvision.models import resnet50

from common import Weights, blocks


def resnet50_v1():
    """The network with our weights, in evaluation mode."""
    weights = Weights()
    model = resnet50(weights=None)
    for block in blocks():
        bottleneck = getattr(model, f"layer{block.stage}")[block.index]
        bottleneck.conv1.stride = (block.stride, block.stride)
        bottleneck.conv2.stride = (1, 1)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
        elif isinstance(module, nn.BatchNorm2d):
            module.eps = weights.epsilon
    state = {name: torch.from_numpy(tensor) for name, tensor in weights.tensors.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise SystemExit(f"model_torch: missing {missing}, unexpected {unexpected}")
    return model.eval()


class LogitsAndActivations(nn.Module):
    """The network with two outputs: logits, and the activations after layer4."""

    def __init__(self, network):
        super().__init__()
        head = ("avgpool", "fc")
        self.features = nn.Sequential(*(m for name, m in network.named_children() if name not in head))
        self.avgpool = network.avgpool
        self.fc = network.fc

    def forward(self, x):
        activations = self.features(x)
        return self.fc(self.avgpool(activations).flatten(1)), activations
