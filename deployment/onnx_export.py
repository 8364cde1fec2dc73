"""Networks and modules as ONNX models, by torch's exporter."""

import importlib
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from tasks.classification.room import CLASSIFICATION

OPSET = 18
INPUT, OUTPUT = "images", "result"
AXES = {0: "batch", 2: "height", 3: "width"}


def onnx_module(name: str) -> Any:
    """The imported package `onnx`, or another of the extra `export`. Raises InputError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{name} is not installed; get it by: pip install 'coordnas[export]'") from None


def onnx_network(
    network: nn.Module, size: int, metadata: dict[str, str], outputs: Sequence[str] = CLASSIFICATION.answer
) -> bytes:
    """A network in evaluation mode as an ONNX model for any number of pictures of any height and width.

    It maps `images` (batch×3×height×width, float32, normalised) to its outputs: by default `logits` (batch×classes).
    Raises InputError where onnx or onnxscript is not installed.

    Args:
        size: side of the network's own pictures, in pixels.
        metadata: goes into the model's metadata_props.
        outputs: names of the tensors that the network gives, in their order.
    """
    for name in ("onnx", "onnxscript"):
        onnx_module(name)
    # What the exporter looks at; nothing is computed. Height and width differ, and so do those of the smallest maps, of
    # which none is a single pixel: else it would take the two for one number, or the one for always so.
    example = torch.zeros(2, 3, 3 * size, 5 * size)
    with _silent_exporter():
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_shapes=(AXES,),
        )
    assert program is not None
    model = program.model_proto
    _forget_origins(model.graph)
    # The shapes between: a task may have had to tell a wrong one of what is known only when it runs.
    del model.graph.value_info[:]
    onnx_module("onnx").helper.set_model_props(model, metadata)
    return bytes(model.SerializeToString())


class _Side(nn.Module):
    """Modules side by side, each with its own input and output."""

    def __init__(self, modules: Iterable[nn.Module]):
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(part(x) for part, x in zip(self.parts, inputs, strict=True))


def onnx_models(modules: Sequence[nn.Module], inputs: Sequence[Tensor]) -> list[bytes]:
    """Each module in evaluation mode as an ONNX model, for an input of exactly the shape of the one given.

    They are exported side by side, since each call of the exporter costs seconds. The input is called `images`, the
    output `result`. Raises InputError where onnx or onnxscript is not installed.
    """
    for name in ("onnx", "onnxscript"):
        onnx_module(name)
    numbers = range(len(modules))
    with _silent_exporter():
        program = torch.onnx.export(
            _Side(modules).eval(),
            tuple(inputs),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[f"{INPUT}.{number}" for number in numbers],
            output_names=[f"{OUTPUT}.{number}" for number in numbers],
        )
    assert program is not None
    return _split(program.model_proto, len(modules))


@contextmanager
def _silent_exporter() -> Iterator[None]:
    """What the exporter tells of conversions, and torch warns of about itself, is of no concern here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _forget_origins(graph: Any) -> None:
    """Takes away stack traces, which have the paths of this machine."""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]


def _split(model: Any, count: int) -> list[bytes]:
    """The models that stand side by side in one, each with what its output depends on."""
    helper = onnx_module("onnx").helper
    graph = model.graph
    made_by = {name: index for index, node in enumerate(graph.node) for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    known = {value.name: value for value in (*graph.input, *graph.output)}
    models = []
    for number in range(count):
        wanted, nodes, weights = [f"{OUTPUT}.{number}"], set(), {}
        while wanted:
            name = wanted.pop()
            if name in constants:
                weights[name] = constants[name]
            elif name in made_by and made_by[name] not in nodes:
                nodes.add(made_by[name])
                wanted += [given for given in graph.node[made_by[name]].input if given]
        part = helper.make_graph(
            [graph.node[index] for index in sorted(nodes)],
            "network",
            [known[f"{INPUT}.{number}"]],
            [known[f"{OUTPUT}.{number}"]],
            list(weights.values()),
        )
        names = {f"{INPUT}.{number}": INPUT, f"{OUTPUT}.{number}": OUTPUT}
        for node in part.node:
            for index, name in enumerate(node.input):
                node.input[index] = names.get(name, name)
            for index, name in enumerate(node.output):
                node.output[index] = names.get(name, name)
        for value in (*part.input, *part.output):
            value.name = names[value.name]
        _forget_origins(part)
        made = helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)
        models.append(made.SerializeToString())
    return models
