"""PyTorch on a GPU, doing what ours does: the network and Grad-CAM of the top class at layer4. One JSON object per line, as gpu_bench's.

- eager and compiled, channels last, inference mode, the closed form of the map;
- pytorch-grad-cam as its users run it, if it is installed.

Times are medians between two CUDA events, the pictures on the GPU already. f32 is f32: TensorFloat-32 is off.
"""

import argparse
import json
import sys

import torch
from common import golden_inputs, check_logits
from model_torch import LogitsAndActivations, resnet50_v1

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
    """Our network with our weights on the GPU, checked against Keras."""
    return resnet50_v1().to("cuda", dtype).to(memory_format=torch.channels_last)


def closed_form(precision, batches, rounds, is_compiled):
    """Network and map in one call."""
    dtype = TYPES[precision]
    model = NetworkAndMap(network(dtype)).eval()
    name = "PyTorch eager"
    with torch.inference_mode():
        logits = lambda x: model(batch_of(x, 1, dtype))[0].float().cpu().numpy()
        check_logits(f"{name} {precision}", logits, CHECKED_AS[precision])
        run = model
        if is_compiled:
            run, name = torch.compile(model, mode="max-autotune"), "torch.compile max-autotune"
        for size in batches:
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
    for precision in arguments.precisions.split(","):
        closed_form(precision, batches, arguments.rounds, False)
    grad_cam(batches, arguments.rounds)
    if not arguments.no_compile:
        for precision in arguments.precisions.split(","):
            closed_form(precision, batches, arguments.rounds, True)


if __name__ == "__main__":
    main()
