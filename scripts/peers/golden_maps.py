"""Makes tests/golden/torch_<photo>.safetensors: pytorch-grad-cam's maps of our network, for the tests of our explainers.

Run it with the environment that `scripts/bench_programs.sh --only gradcam-frozen` makes: target/peers-venv/bin/python.
"""

from importlib.metadata import version

import numpy as np
import torch
from pytorch_grad_cam import AblationCAM, EigenCAM, EigenGradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM, XGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from safetensors.numpy import load_file, save_file
from torch import nn

from common import GOLDEN, network_input
from model_torch import resnet50_v1

# Photo and class.
CASES = {"catdog": 243, "chelsea": 285}
METHODS = (EigenCAM, EigenGradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM)
# Score-CAM runs a pass per channel: minutes.
SCORE_CAM_PHOTO = "catdog"
LAYERS = ("layer2", "layer3", "layer4")


def raw_map(method, model, layer, x, category):
    """What the package computes before its ReLU, scaling and resizing."""
    maps = []
    with method(model=model, target_layers=[layer]) as cam:
        of_layer = cam.get_cam_image

        def keep(*args, **kwargs):
            result = of_layer(*args, **kwargs)
            maps.append(np.asarray(result, np.float32)[0])
            return result

        cam.get_cam_image = keep
        cam(input_tensor=x, targets=[ClassifierOutputTarget(category)])
    (result,) = maps
    return np.ascontiguousarray(result)


def score_cam(model, x, category):
    kept = []

    class Keeping(ScoreCAM):
        def get_cam_weights(self, *args, **kwargs):
            weights = super().get_cam_weights(*args, **kwargs)
            kept.append(np.asarray(weights, np.float32)[0])
            return weights

    raw = raw_map(Keeping, model, model.layer4[-1], x, category)
    return raw, np.ascontiguousarray(kept[0])


def main():
    model = resnet50_v1()
    # Ablation runs a pass per channel: of the last block and the head, which see the same numbers.
    tail = nn.Sequential(model.layer4[2], model.avgpool, nn.Flatten(), model.fc).eval()
    for photo, category in CASES.items():
        x = torch.from_numpy(network_input(load_file(GOLDEN / f"{photo}.safetensors")["resized_u8"]))
        maps = {}
        for name in LAYERS:
            for method in METHODS:
                key = f"{name}.{method.__name__}.raw"
                maps[key] = raw_map(method, model, getattr(model, name)[-1], x, category)
        with torch.no_grad():
            before = nn.Sequential(*list(model.children())[:7], model.layer4[0], model.layer4[1])(x)
        maps["layer4.AblationCAM.raw"] = raw_map(AblationCAM, tail, tail[0], before, category)
        if photo == SCORE_CAM_PHOTO:
            maps["layer4.ScoreCAM.raw"], maps["layer4.ScoreCAM.weights"] = score_cam(model, x, category)
        metadata = {
            "photo": photo,
            "class": str(category),
            "made_with": f"grad-cam {version('grad-cam')}, torch {torch.__version__}",
        }
        save_file(maps, GOLDEN / f"torch_{photo}.safetensors", metadata)


if __name__ == "__main__":
    main()
