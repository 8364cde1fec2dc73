"""An ONNX file of a network, run in ONNX Runtime."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deployment.onnx_export import INPUT, onnx_module
from foundation.errors import InputError, one_line
from training.task import Answers


class OnnxNetwork:
    """N×3×H×W normalised pictures to a tensor, or to several by name if there are several, on the CPU.

    Raises InputError where ONNX Runtime is not installed, for a missing file, or one that is no network of this kind.

    Args:
        threads: as many as torch has by default.

    Attributes:
        metadata: what the file says of itself, strings by name.
    """

    def __init__(self, path: Path, threads: int | None = None):
        runtime: Any = onnx_module("onnxruntime")
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has an exception for each kind of broken file
            raise InputError(f"{path}: not an ONNX model ({one_line(error)})") from None
        inputs = [each.name for each in self._session.get_inputs()]
        self._outputs = [each.name for each in self._session.get_outputs()]
        if inputs != [INPUT] or not self._outputs:
            raise InputError(f"{path}: expected a model from {INPUT}, got inputs {', '.join(inputs)}")
        try:
            self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        except UnicodeDecodeError:
            raise InputError(f"{path}: its metadata is not UTF-8 text") from None

    def __call__(self, images: Tensor) -> Answers:
        results = self._session.run(None, {INPUT: images.contiguous().cpu().numpy()})
        tensors = [torch.from_numpy(result) for result in results]
        return dict(zip(self._outputs, tensors, strict=True)) if len(tensors) > 1 else tensors[0]
