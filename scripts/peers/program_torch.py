"""pytorch-grad-cam as its README shows it, for each frame of a video, with OpenCV around it.

With `--frozen`, weights are frozen as far as possible: only the last batch normalisation's bias stays trainable, because without any
the target layer's activations would have no gradient. Then the backward pass ends at the target layer.

Usage: program_torch.py CLIP OUT.mp4 [--frozen] [--threads N]
"""

import cv2
import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image

from common import Weights, check_logits
from model_torch import resnet50_v1
from video import arguments, input_of, transcode, write_label


def logits_of(model, x):
    with torch.inference_mode():
        return model(torch.from_numpy(x)).numpy()


def main():
    parser = arguments(__doc__)
    parser.add_argument("--frozen", action="store_true")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    model = resnet50_v1()
    check_logits("pytorch", lambda x: logits_of(model, x))
    if args.frozen:
        model.requires_grad_(False)
        model.layer4[-1].bn3.bias.requires_grad_(True)
    labels = Weights().labels

    with GradCAM(model=model, target_layers=[model.layer4[-1]]) as cam:

        def compute(frame):
            grayscale_cam = cam(input_tensor=torch.from_numpy(input_of(frame)), targets=None)
            probabilities = cam.outputs.detach().softmax(-1)[0]
            target = int(probabilities.argmax())
            return grayscale_cam[0, :], target, float(probabilities[target])

        def draw(frame, explanation):
            grayscale_cam, target, probability = explanation
            height, width = frame.shape[:2]
            mask = cv2.resize(grayscale_cam, (width, height))
            visualization = show_cam_on_image(np.float32(frame) / 255, mask)
            return write_label(visualization, labels[target], probability)

        transcode(args, compute, draw)


if __name__ == "__main__":
    main()
