"""What a user who knows would write: an inference engine, Grad-CAM in closed form by hand, OpenCV around it.

Usage: program_engine.py CLIP OUT.mp4 --engine openvino|onnxruntime --model MODEL.onnx [--precision f32|bf16] [--threads N] [--in-flight N]
"""

from common import Weights, check_logits, closed_form_cam
from engines import onnxruntime, openvino
from video import arguments, input_of, overlay, transcode, write_label

ENGINES = {"openvino": openvino, "onnxruntime": onnxruntime}


def main():
    parser = arguments(__doc__)
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--in-flight", type=int, default=1, help="frames at once")
    args = parser.parse_args()

    infer = ENGINES[args.engine](args.model, args.precision, args.threads, args.in_flight)
    check_logits(args.engine, lambda x: infer(x)[0], args.precision)
    weights = Weights()

    def compute(frame):
        return closed_form_cam(weights["fc.weight"], *infer(input_of(frame)))

    def draw(frame, explanation):
        target, probability, heat = explanation
        return write_label(overlay(frame, heat), weights.labels[target], probability)

    transcode(args, compute, draw, args.in_flight)


if __name__ == "__main__":
    main()
