"""PyTorch on a GPU, doing what ours does: the network and Grad-CAM of the top class at layer4. One JSON object per line, as gpu_bench's.

- eager, compiled, and compiled with CUDA graphs; channels last, inference mode, batch normalisation folded into the convolutions (in f16 its
  variances would overflow), the closed form of the map;
- pytorch-grad-cam as its users run it, if it is installed.

Times are medians between two CUDA events, the pictures on the GPU already. f32 is f32: TensorFloat-32 is off.
"""

import argparse
import json
import sys

import torch
from common import golden_inputs, check_logits
from model_torch import LogitsAndActivations, resnet50_v1
from torch.nn.utils.fusion import fuse_conv_bn_eval

TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
WARM_UP = 10
# Largest difference of a logit from Keras' in `check_logits`' terms; f16 is closer than bf16.
CHECKED_AS = {"f32": "f32", "f16": "bf16", "bf16": "bf16"}


class NetworkAndMap(torch.nn.Module):
    """Logits, and the top class's map: its row of `fc` times the activations, over the number of cells."""

    def __init__(self, network):
        super().__init__()
        self.network = LogitsAndActivations(network)

    def forward(self, x):
        logits, activations = self.network(x)
        weights = self.network.fc.weight[logits.argmax(1)]
        maps = torch.einsum("bkhw,bk->bhw", activations, weights)
        return logits, maps / (maps.shape[1] * maps.shape[2])


def median_ms(run, rounds):
    """The median time of a call, by the GPU's clock."""
    times = []
    for index in range(WARM_UP + rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        if index >= WARM_UP:
            times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def report(program, precision, batch, ms):
    """One line."""
    print(json.dumps({"program": program, "precision": precision, "batch": batch, "ms": ms, "fps": batch * 1e3 / ms}), flush=True)


def batch_of(picture, size, dtype):
    """The same picture `size` times on the GPU, channels last."""
    batch = torch.from_numpy(picture).reshape(1, 3, 224, 224).to("cuda", dtype).repeat(size, 1, 1, 1)
    return batch.contiguous(memory_format=torch.channels_last)


def network(dtype):
    """Our network with our weights on the GPU, batch normalisation folded in f32 before anything is rounded."""
    model = resnet50_v1()
    model.conv1, model.bn1 = fuse_conv_bn_eval(model.conv1, model.bn1), torch.nn.Identity()
    for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in layer:
            for index in (1, 2, 3):
                conv, norm = getattr(block, f"conv{index}"), getattr(block, f"bn{index}")
                setattr(block, f"conv{index}", fuse_conv_bn_eval(conv, norm))
                setattr(block, f"bn{index}", torch.nn.Identity())
            if block.downsample is not None:
                block.downsample = fuse_conv_bn_eval(block.downsample[0], block.downsample[1])
    return model.to("cuda", dtype).to(memory_format=torch.channels_last)


# How PyTorch runs the network: the program's name, and `torch.compile`'s mode, if it compiles.
EAGER = ("PyTorch eager", None)
COMPILED = (("torch.compile", "default"), ("torch.compile, CUDA graphs", "reduce-overhead"))


def closed_form(precision, batches, rounds, variant):
    """Network and map in one call, checked against Keras before it is timed."""
    name, mode = variant
    dtype = TYPES[precision]
    model = NetworkAndMap(network(dtype)).eval()
    with torch.inference_mode():
        for size in batches:
            run = model
            if mode:
                # For each size by itself: else the second one would make the shapes dynamic.
                torch._dynamo.reset()
                run = torch.compile(model, dynamic=False, mode=mode)
            check_logits(
                f"{name} {precision}",
                lambda x: run(batch_of(x, size, dtype))[0][0].float().cpu().numpy(),
                CHECKED_AS[precision],
            )
            x = batch_of(golden_inputs()[-1], size, dtype)
            report(f"{name}, channels last, network and map", precision, size, median_ms(lambda: run(x), rounds))


def grad_cam(batches, rounds):
    """As the README of pytorch-grad-cam has it, in f32; its maps are made on the CPU."""
    try:
        from pytorch_grad_cam import GradCAM
    except ImportError:
        print("gpu_torch: pytorch-grad-cam is not installed: left out", file=sys.stderr)
        return
    model = resnet50_v1().cuda()
    with GradCAM(model=model, target_layers=[model.layer4[-1]]) as cam:
        for size in batches:
            x = batch_of(golden_inputs()[-1], size, torch.float32).contiguous()
            run = lambda: cam(input_tensor=x, targets=None)
            report("pytorch-grad-cam", "f32", size, median_ms(run, min(rounds, 20)))


def main():
    """Runs all that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", default="1,8,32,128")
    parser.add_argument("--precisions", default="f32,f16,bf16")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    batches = [int(size) for size in arguments.batches.split(",")]
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    print(json.dumps({"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "card": torch.cuda.get_device_name()}), flush=True)
    precisions, failures = arguments.precisions.split(","), 0
    for variant in (EAGER,) if arguments.no_compile else (EAGER, *COMPILED):
        for precision in precisions:
            try:
                closed_form(precision, batches, arguments.rounds, variant)
            except SystemExit as wrong:
                # A peer that is wrong is not timed; the others are.
                print(wrong, file=sys.stderr)
                failures += 1
        if variant is EAGER:
            grad_cam(batches, arguments.rounds)
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
