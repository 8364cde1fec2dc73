"""A space's pieces as ONNX files, to be measured on a device that this program does not run on."""

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from deployment.latency import settled
from deployment.onnx_export import onnx_models
from foundation.files import remove_leftovers, write_atomically, write_json
from foundation.progress import Reporter
from search_space.cost.priced_space import PricedSpace
from search_space.cost.space_pieces import space_pieces

TABLE, FILES = "latency.json", "files.json"
CALL = "call.onnx"
GROUP = 64  # pieces exported together


def export_pieces(priced: PricedSpace, folder: Path, reporter: Reporter) -> None:
    """Writes every piece that a network of the space can have as an ONNX file into the folder.

    `files.json` says for each piece's name its file and the shape of its input; `latency.json` is a latency table whose
    device, runtime and times are to be filled in, `call_ns` by the time of `call.onnx`, which computes nothing. Files
    that are there already are kept. Raises InputError where onnx or onnxscript is not installed.
    """
    pieces = space_pieces(priced.space, priced.head)
    folder.mkdir(parents=True, exist_ok=True)
    names = {name: _file_name(name) for name in pieces}
    remove_leftovers(folder, (TABLE, FILES, CALL, *names.values()))
    lacking = [name for name, file in names.items() if not (folder / file).exists()]
    with (
        torch.random.fork_rng(devices=[]),
        reporter.track("export", len(pieces), "pieces", len(pieces) - len(lacking)) as advance,
    ):
        for start in range(0, len(lacking), GROUP):
            chosen = lacking[start : start + GROUP]
            modules: list[nn.Module] = [nn.Identity()]
            inputs: list[Tensor] = [torch.rand(1, 1, 1, 1)]
            for name in chosen:
                piece, size = pieces[name]
                modules.append(settled(piece.create()))
                inputs.append(torch.rand(1, *piece.input_shape(size)))
            files = [CALL, *(names[name] for name in chosen)]
            for file, model in zip(files, onnx_models(modules, inputs), strict=True):
                _write(folder / file, model)
            for name in chosen:
                advance(name)
    listed = {
        name: {"file": names[name], "input": [1, *piece.input_shape(size)]} for name, (piece, size) in pieces.items()
    }
    write_json(folder / FILES, listed)
    if not (folder / TABLE).exists():
        empty = {"device": None, "runtime": None, "threads": 1, "call_ns": None, "pieces": dict.fromkeys(pieces)}
        write_json(folder / TABLE, empty)


def _file_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.replace(">", " to ")) + ".onnx"


def _write(path: Path, model: bytes) -> None:
    write_atomically(path, lambda temporary: _write_bytes(temporary, model))


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)
