"""The inference engines behind one function each: `infer(input) -> (logits, activations)` as NumPy arrays.

`threads` is how many cores the engine may use. With `in_flight` 1 they share each frame (least delay); with `in_flight` equal to
`threads` each frame has one core, and as many calls of `infer` may run at once, each on a thread of its own (most frames per second).
Arrays are valid until the same thread's next call.
"""

import threading


def openvino(model, precision, threads, in_flight):
    """OpenVINO's CPU plugin. The precision is always set: on CPUs with bf16 or AMX the default is not f32."""
    import openvino as ov

    compiled = ov.Core().compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": in_flight,
            "PERFORMANCE_HINT": "LATENCY" if in_flight == 1 else "THROUGHPUT",
        },
    )
    used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if used != precision:
        raise SystemExit(f"openvino: computes in {used}, asked for {precision}")
    local = threading.local()

    def infer(x):
        if not hasattr(local, "request"):
            local.request = compiled.create_infer_request()
        result = local.request.infer({0: x}, share_inputs=True, share_outputs=True)
        return result["logits"], result["activations"]

    return infer


def onnxruntime(model, precision, threads, in_flight):
    """ONNX Runtime's CPU provider. Its threads would spin while they wait, which costs CPU time for nothing: switched off."""
    import onnxruntime as ort

    if precision != "f32":
        raise SystemExit(f"onnxruntime: no {precision} on x86")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads // in_flight
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(["logits", "activations"], {"input": x})


def _torch(precision, threads, in_flight, is_frozen):
    import torch

    from model_torch import LogitsAndActivations, resnet50_v1

    torch.set_num_threads(threads // in_flight)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    model = LogitsAndActivations(resnet50_v1()).eval().requires_grad_(False)
    model = model.to(dtype=dtype, memory_format=torch.channels_last)

    def tensor(x):
        return torch.from_numpy(x).to(dtype=dtype, memory_format=torch.channels_last)

    if is_frozen:
        example = torch.zeros(1, 3, 224, 224, dtype=dtype).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            model = torch.jit.optimize_for_inference(torch.jit.trace(model, example))

    def infer(x):
        with torch.inference_mode():
            return tuple(output.float().numpy() for output in model(tensor(x)))

    return infer


def torch_eager(_model, precision, threads, in_flight):
    """PyTorch as one writes it, weights frozen, channels last."""
    return _torch(precision, threads, in_flight, is_frozen=False)


def torch_jit(_model, precision, threads, in_flight):
    """PyTorch traced, frozen (which folds batch normalisation) and optimised for inference, channels last."""
    return _torch(precision, threads, in_flight, is_frozen=True)


ENGINES = {
    "openvino": openvino,
    "onnxruntime": onnxruntime,
    "torch-eager": torch_eager,
    "torch-jit": torch_jit,
}
