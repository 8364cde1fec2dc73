"""Networks in 8-bit integers: post-training static quantisation of an ONNX model, by ONNX Runtime's tools."""

import contextlib
import importlib
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from deployment.onnx_export import INPUT, onnx_module

CALIBRATION = 512
"""Training pictures that the ranges of the activations are taken from."""

BATCH = 16


def quantised(model: bytes, pictures: Iterable[Tensor], **settings: Any) -> bytes:
    """A float32 ONNX model with 8-bit weights and activations, in the QDQ form that every ONNX runtime understands.

    Weights have a scale for each channel, activations (unsigned) one for each tensor, from the smallest and the largest
    value that the pictures give. Nothing is left in float32. Weights use 7 of their 8 bits, since a processor with AVX2
    alone adds products of 8 bits pairwise in 16 bits, where two large ones saturate; it costs no accuracy that
    `benchmarks/quantisation.py` could find. The model's metadata is kept.

    Raises InputError where onnx or onnxruntime is not installed.

    Args:
        pictures: batches N×3×H×W, normalised, float32.
        settings: of `onnxruntime.quantization.quantize_static`, in place of those.
    """
    onnx = onnx_module("onnx")
    onnx_module("onnxruntime")
    tools = importlib.import_module("onnxruntime.quantization")
    preparation = importlib.import_module("onnxruntime.quantization.shape_inference")
    chosen = {
        "quant_format": tools.QuantFormat.QDQ,
        "per_channel": True,
        "reduce_range": True,
        "activation_type": tools.QuantType.QUInt8,
        "weight_type": tools.QuantType.QInt8,
        **settings,
    }
    with tempfile.TemporaryDirectory() as folder, without_log():
        given, prepared, result = (Path(folder) / name for name in ("given.onnx", "prepared.onnx", "result.onnx"))
        given.write_bytes(model)
        preparation.quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
        tools.quantize_static(str(prepared), str(result), _Reader(pictures), **chosen)
        made = onnx.load(str(result))
    told = {entry.key: entry.value for entry in onnx.load_from_string(model).metadata_props}
    onnx.helper.set_model_props(made, told)
    return bytes(made.SerializeToString())


class _Reader:
    """Hands batches to ONNX Runtime's calibration, which asks for the next until there is none."""

    def __init__(self, pictures: Iterable[Tensor]):
        self._left = iter(pictures)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._left, None)
        return None if batch is None else {INPUT: batch.cpu().contiguous().numpy()}


@contextlib.contextmanager
def without_log() -> Iterator[None]:
    """What tools tell the log of everything that they come by is not for the user of a command."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
