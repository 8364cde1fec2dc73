"""What 8-bit integers cost and gain, by how a network is quantised: accuracy beside float32's, and time.

    python -m benchmarks.quantisation runs/digits/retrain [--data digits] [--split validation]
    python -m benchmarks.quantisation mobilenetv2-ca

For each network of a retraining: top-1 of its float32 ONNX model, and the change of that by each way to quantise it,
with the time of one picture beside float32's (median of interleaved calls, one thread). Of a hand-designed network by
name, untrained and calibrated on noise, the times alone.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from deployment.answers import answers_of
from deployment.evaluation import evaluated
from deployment.export import calibration_pictures, metadata
from deployment.model_source import find_models
from deployment.onnx_export import onnx_module, onnx_network
from deployment.onnx_session import OnnxNetwork
from deployment.quantisation import quantised
from search_space.architecture import Architecture
from search_space.backbones import hand_designed
from search_space.network import build
from training.data.datasets import load_data
from training.model_file import load_model

PLAIN = ("Conv", "Gemm", "MatMul")


def ways(model: bytes) -> dict[str, dict[str, Any]]:
    """Settings of ONNX Runtime's quantisation, in place of those of `quantised`."""
    onnx, tools = onnx_module("onnx"), onnx_module("onnxruntime.quantization")
    nodes = onnx.load_from_string(model).graph.node
    attention = [node.name for node in nodes if any(".attention." in name for name in node.input)]
    gates = [node.name for node in nodes if node.op_type in ("Sigmoid", "HardSwish")]
    return {
        "as exported": {},
        "weights of 8 bits": {"reduce_range": False},
        "signed activations": {"activation_type": tools.QuantType.QInt8},
        "entropy": {"calibrate_method": tools.CalibrationMethod.Entropy},
        "percentile": {"calibrate_method": tools.CalibrationMethod.Percentile},
        "one scale a tensor": {"per_channel": False},
        "attention's convolutions in float32": {"nodes_to_exclude": attention},
        "gates in float32": {"nodes_to_exclude": gates},
        "convolutions alone in integers": {"op_types_to_quantize": PLAIN},
    }


def main() -> None:
    """Prints a table a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    architecture = hand_designed(arguments.source)
    if architecture is not None:
        _print_times(arguments.source, architecture, arguments.rounds)
        return
    for name, path in find_models(arguments.source).items():
        network, info = load_model(path)
        data = load_data(arguments.data, info.architecture.resolution, torch.device("cpu"))
        model = onnx_network(network, info.architecture.resolution, metadata(info))
        models = {"float32": model}
        for way, settings in ways(model).items():
            models[way] = quantised(model, calibration_pictures(data), **settings)
        runs = {way: _run(content) for way, content in models.items()}
        found = {
            way: evaluated(answers_of(run), getattr(data, arguments.split).batches(250), data.classes)
            for way, run in runs.items()
        }
        times = _times(runs, info.architecture.resolution, arguments.rounds)
        exact = found["float32"].measured.value
        print(f"{name}: {found['float32'].pictures} {arguments.split} pictures, top-1 in float32 {100 * exact:.2f} %")
        for way, content in models.items():
            change, ratio = 100 * (found[way].measured.value - exact), times[way] / times["float32"]
            print(f"  {way:36} {change:+6.2f} points   {_cost(times[way], ratio, content)}", flush=True)


def _print_times(name: str, architecture: Architecture, rounds: int) -> None:
    size = architecture.resolution
    model = onnx_network(build(architecture), size, {})
    noise = torch.randn(4, 3, size, size)
    models = {"float32": model, **{way: quantised(model, [noise], **own) for way, own in ways(model).items()}}
    times = _times({way: _run(content) for way, content in models.items()}, size, rounds)
    print(f"{name}: untrained, {size} pixels")
    for way, content in models.items():
        print(f"  {way:36} {_cost(times[way], times[way] / times['float32'], content)}", flush=True)


def _cost(seconds: float, ratio: float, model: bytes) -> str:
    return f"{1000 * seconds:7.3f} ms   × {ratio:.2f}   {len(model) / 1000:6.0f} kB"


def _run(model: bytes) -> OnnxNetwork:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        return OnnxNetwork(path)


def _times(runs: dict[str, OnnxNetwork], resolution: int, rounds: int) -> dict[str, float]:
    """Median seconds of one picture, in turns."""
    x = torch.rand(1, 3, resolution, resolution)
    taken: dict[str, list[float]] = {way: [] for way in runs}
    for _ in range(rounds):
        for way, run in runs.items():
            run(x)
            before = time.thread_time()
            run(x)
            taken[way].append(time.thread_time() - before)
    return {way: statistics.median(own) for way, own in taken.items()}


if __name__ == "__main__":
    main()
