"""An exported network in float32 and in 8-bit integers, side by side: accuracy, time, size."""

from pathlib import Path
from typing import NamedTuple

import torch

from deployment.answers import answers_of
from deployment.choices import ROUNDS
from deployment.compared_latency import Spread, spread
from deployment.evaluation import Evaluation, evaluated
from deployment.latency import settled_times
from deployment.onnx_session import OnnxNetwork
from deployment.runtimes import Runtime
from training.data.datasets import Dataset
from training.model_file import ModelInfo
from training.resize import resized_batches

FLOAT, INT8 = "model.onnx", "model.int8.onnx"
BATCH = 256


class Precision(NamedTuple):
    """A file on labelled pictures, its time for one of them on one CPU thread, and its size in bytes."""

    name: str
    evaluation: Evaluation
    time: Spread
    size: int


def compare_precisions(folder: Path, data: Dataset, rounds: int = ROUNDS) -> list[Precision]:
    """`model.onnx` and `model.int8.onnx` of the folder on the test pictures, in ONNX Runtime, taking turns in time.

    Raises InputError where ONNX Runtime is not installed, or a file is missing.
    """
    paths = {"float32": folder / FLOAT, "int8": folder / INT8}
    models = {name: OnnxNetwork(path) for name, path in paths.items()}
    resolution = ModelInfo.from_metadata(models["float32"].metadata, str(paths["float32"])).architecture.resolution

    evaluations = [
        evaluated(answers_of(model), resized_batches(data.test.batches(BATCH), resolution), data.classes)
        for model in models.values()
    ]
    alone = [OnnxNetwork(path, threads=1) for path in paths.values()]
    x = torch.rand(1, 3, resolution, resolution)
    calls = [lambda model=model: model(x) for model in alone]
    times = settled_times(calls, Runtime("onnxruntime", 1, torch.device("cpu")), rounds)
    return [
        Precision(name, evaluation, spread(own), path.stat().st_size)
        for (name, path), evaluation, own in zip(paths.items(), evaluations, times, strict=True)
    ]
