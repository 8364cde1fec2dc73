"""A trained network in the formats that other programs read, each checked against the original before it is kept."""

import copy
import json
import math
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from deployment.answers import answering, largest, with_answers
from deployment.onnx_export import onnx_module, onnx_network
from deployment.onnx_session import OnnxNetwork
from deployment.quantisation import BATCH, CALIBRATION, quantised
from foundation.errors import InputError, first_line
from foundation.files import remove_leftovers, write_atomically
from foundation.progress import Reporter
from search_space.attention.probes import probes
from search_space.network import Network, bare
from tasks.choice import has_settings
from tasks.classification.room import CLASSIFICATION
from training.checkpoint import save_weights
from training.data.datasets import Dataset
from training.data.preparation import View
from training.model_file import ModelInfo, load_model
from training.task import Answering, Answers, Task, check_class_labels

TOLERANCE = 1e-5
AGREEING = 8  # batches of calibration pictures in which integers are compared with the network
WEIGHTS, CONFIG = "model.safetensors", "config.json"

Answer = Callable[[Tensor], Answers]
"""From N×3×H×W normalised pictures, float32 on the CPU, to what the task answers."""


@dataclass(frozen=True)
class _Given:
    """What is exported, and the batches of pictures that integers are calibrated on."""

    network: Network
    info: ModelInfo
    task: Answering
    calibration: Sequence[Tensor]

    @cached_property
    def answering(self) -> nn.Module:
        """The network with the task's answers for outputs."""
        return with_answers(self.network, self.task)

    @cached_property
    def onnx(self) -> bytes:
        """The ONNX model: torch's exporter takes long, and two formats are made of it."""
        size = self.info.architecture.resolution
        return onnx_network(self.answering, size, metadata(self.info), self.task.answer)


class Format(NamedTuple):
    """A format: the file or folder it is kept in, the packages it needs, and how it is written and read again.

    `write` makes the file or folder at the path; `read` gives what is in it as other programs would run it. Where the
    format is not `exact`, its numbers are rounded, and it has to agree on classes instead. Some are for `class_labels`
    alone, some for a task's own head alone and none that is chosen by name (`plain`).
    """

    name: str
    packages: tuple[str, ...]
    write: Callable[[_Given, Path], None]
    read: Callable[[_Given, Path], Answer]
    exact: bool = True
    class_labels: bool = False
    plain: bool = False


def check_installed(formats: Sequence[str]) -> None:
    """Raises InputError naming the first package that the formats need and that is not installed."""
    for name in formats:
        for package in _FORMATS[name].packages:
            try:
                onnx_module(package)
            except InputError as error:
                raise InputError(f"`export` {name}: {error}") from None


def check_exported(task: Task, formats: Sequence[str]) -> None:
    """Raises InputError naming the first format that a network of the task cannot be exported in."""
    for name in formats:
        if _FORMATS[name].class_labels:
            check_class_labels(task, f"`export` {name}", "leave it out")
            kind, _, own = task.name.partition(":")
            head = "" if has_settings(kind) else own
            if _FORMATS[name].plain and head:
                raise InputError(f"`export` {name}: for a linear classifier alone, not for head {head}; leave it out")
        elif not isinstance(task, Answering):
            raise InputError(
                f"`export` {name}: task {task.name} does not say what its networks' outputs mean; leave it out"
            )


def export(
    network: Network,
    info: ModelInfo,
    formats: Sequence[str],
    folder: Path,
    reporter: Reporter,
    calibration: Iterable[Tensor] = (),
) -> tuple[Path, ...]:
    """Writes the network into the folder in each of the formats, and returns what was written.

    Each is read again as other programs would, and its answers are compared with the network's own, at the network's
    resolution, an odd size, and a size that is no square, for one picture and for several: the largest difference may
    be 1e-5, or 1e-5 of the largest output where that is above 1 (`training.task.Answering.difference`). `int8` rounds:
    it has to run at these sizes, and to see the same class as the network in half of the calibration pictures at least.
    What fails is not kept. Files that are there already are replaced.

    Args:
        network: as `load_model` gives it; it is not changed.
        calibration: batches of training pictures (N×3×H×W, normalised) for `int8`, see `calibration_pictures`.

    Raises:
        InputError: where a package is missing, for a format that is not for the network's task, or naming the format,
            the size and the difference where a check failed.
    """
    check_installed(formats)
    task = answering(info, "`export`")
    check_exported(task, formats)
    # Where they lie on a GPU they are no use to the copy on the CPU, nor to ONNX Runtime.
    pictures = [images.cpu() for images in calibration] if "int8" in formats else []
    if "int8" in formats and not pictures:
        raise ValueError("int8 needs pictures to be calibrated on")
    original = copy.deepcopy(network).cpu().eval().requires_grad_(False).to(memory_format=torch.contiguous_format)
    given = _Given(original, info, task, pictures)
    written = []
    with reporter.track("export", len(formats), "formats") as advance:
        for format_name in formats:
            chosen = _FORMATS[format_name]
            path = folder / chosen.name
            with _kept_if_right(path) as temporary:
                try:
                    chosen.write(given, temporary)
                    again = chosen.read(given, temporary)
                except (InputError, OSError):
                    raise
                except Exception as error:  # an op of the user's own can fail in any way in an exporter
                    raise InputError(
                        f"{path}: cannot be exported ({first_line(error)}); {_remedy(format_name)}"
                    ) from error
                tolerance = TOLERANCE if chosen.exact else math.inf
                check_same_outputs(
                    original, again, info.architecture.resolution, path, _remedy(format_name), tolerance, task
                )
                if not chosen.exact:
                    # Evenly spaced: those of a folder come sorted by class.
                    some = pictures[:: max(1, len(pictures) // AGREEING)]
                    check_agreement(original, again, some, path, _remedy(format_name))
            written.append(path)
            advance(format_name)
    return tuple(written)


def calibration_pictures(data: Dataset) -> Iterator[Tensor]:
    """Batches for `int8`: 512 training pictures, evenly spaced, as they are seen in evaluation."""
    return (images for images, _ in data.train.batches(BATCH, limit=CALIBRATION))


@torch.no_grad()
def check_same_outputs(
    original: Callable[[Tensor], Any],
    again: Answer,
    resolution: int,
    path: Path,
    remedy: str,
    tolerance: float = TOLERANCE,
    task: Answering = CLASSIFICATION,
) -> None:
    """Raises InputError naming the file, the size and the difference where the two disagree, see `export`.

    Args:
        original: gives outputs.
    """
    generator = torch.Generator().manual_seed(0)
    for shape in _shapes(resolution):
        images = torch.randn(shape, generator=generator)
        outputs = original(images)
        try:
            difference = task.difference(outputs, again(images), (shape[2], shape[3]))
        except Exception as error:  # whatever a runtime raises at a size that it cannot take
            raise InputError(f"{path}: fails at {_size(shape)} ({first_line(error)}); {remedy}") from error
        allowed = tolerance * max(1.0, largest(outputs))
        if not difference <= allowed:  # a NaN is no agreement
            raise InputError(
                f"{path}: its {' and '.join(task.answer)} differ from the network's by {difference:.1e} at "
                f"{_size(shape)}, more than {allowed:.1e}; {remedy}"
            )


@torch.no_grad()
def check_agreement(original: Answer, again: Answer, pictures: Sequence[Tensor], path: Path, remedy: str) -> None:
    """Raises InputError naming the file where the two see different classes in most of the pictures."""
    same = torch.cat([original(images).argmax(1) == again(images).argmax(1) for images in pictures])
    share = float(same.float().mean())
    if share < 0.5:
        raise InputError(
            f"{path}: sees the network's class in {100 * share:.0f} % of {len(same)} pictures only; {remedy}"
        )


def _shapes(resolution: int) -> tuple[tuple[int, int, int, int], ...]:
    """The network's own size, an odd one and one that is no square; one picture and several."""
    odd = resolution + 1 if resolution % 2 == 0 else resolution + 2
    high, wide = resolution + resolution // 2, max(1, resolution - resolution // 4)
    return (1, 3, resolution, resolution), (3, 3, resolution, resolution), (1, 3, odd, odd), (2, 3, high, wide)


def _size(shape: Sequence[int]) -> str:
    return f"{shape[0]} picture{'s' if shape[0] > 1 else ''} of {shape[2]}×{shape[3]}"


def _remedy(format_name: str) -> str:
    return f"leave {format_name} out of `export`"


@contextmanager
def _kept_if_right(path: Path) -> Iterator[Path]:
    """A path to write a file or folder of files to, that comes to be `path` if nothing fails until then."""
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name) / path.name
        yield temporary
        if temporary.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            for file in sorted(temporary.iterdir()):
                _put(file, path / file.name)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            _put(temporary, path)


def _put(file: Path, path: Path) -> None:
    remove_leftovers(path.parent, (path.name,))
    write_atomically(path, lambda temporary: _copy(file, temporary))


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def metadata(info: ModelInfo) -> dict[str, str]:
    """What every exported file says of itself, as strings by name: `ModelInfo.to_metadata`, and the input's size."""
    resolution = info.architecture.resolution
    return {**info.to_metadata(), "input_size": json.dumps([3, resolution, resolution])}


def _write_onnx(given: _Given, path: Path) -> None:
    path.write_bytes(given.onnx)


def _write_int8(given: _Given, path: Path) -> None:
    path.write_bytes(quantised(given.onnx, given.calibration))


def _read_onnx(_: _Given, path: Path) -> Answer:
    return OnnxNetwork(path)


def _write_safetensors(given: _Given, path: Path) -> None:
    save_weights(path, given.network.state_dict(), metadata(given.info))


def _read_safetensors(given: _Given, path: Path) -> Answer:
    return with_answers(load_model(path)[0], given.task)


def _write_torchscript(given: _Given, path: Path) -> None:
    resolution = given.info.architecture.resolution
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch prefers torch.export, which other programs cannot read
        example = torch.zeros(2, 3, resolution, resolution + 8)
        # Not strict: answers may be a dictionary.
        traced = torch.jit.trace(given.answering, example, check_trace=False, strict=False)
        torch.jit.save(traced, str(path), _extra_files=metadata(given.info))


def _read_torchscript(_: _Given, path: Path) -> Answer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cast(Answer, torch.jit.load(str(path), map_location="cpu"))


def _write_timm(given: _Given, path: Path) -> None:
    path.mkdir()
    save_weights(path / WEIGHTS, given.network.state_dict(), metadata(given.info))
    text = json.dumps(timm_config(given.info), indent=1, ensure_ascii=False) + "\n"
    (path / CONFIG).write_text(text, encoding="utf-8")


def timm_config(info: ModelInfo) -> dict[str, Any]:
    """The `config.json` of a folder that timm's `create_model('local-dir:FOLDER')` reads."""
    from deployment.timm_entry import CLASSIFIER

    resolution = info.architecture.resolution
    with torch.device("meta"):
        network = bare(info.architecture, 1)
    first = next(name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d))
    probed = {"probed_classes": len(info.classes)} if probes(network) else {}
    mean, std = (values * 3 if len(values) == 1 else values for values in (info.mean, info.std))
    return {
        "architecture": "coordnas",
        "num_classes": len(info.classes),
        "model_args": {"network": info.architecture.to_dict(), **probed},
        "label_names": info.classes,
        "pretrained_cfg": {
            "input_size": (3, resolution, resolution),
            "fixed_input_size": False,
            "interpolation": "bilinear",
            "crop_pct": 1 / View.of(info.data, resolution).margin,
            "crop_mode": "center",
            "mean": mean,
            "std": std,
            "num_classes": len(info.classes),
            "pool_size": None,
            "first_conv": first,
            "classifier": CLASSIFIER,
        },
    }


def _read_timm(_: _Given, path: Path) -> Answer:
    import timm

    import deployment.timm_entry  # noqa: F401 (registers the model)

    return cast(Answer, timm.create_model(f"local-dir:{path}", pretrained=True).eval())


_FORMATS = {
    "onnx": Format("model.onnx", ("onnx", "onnxscript", "onnxruntime"), _write_onnx, _read_onnx),
    "safetensors": Format(WEIGHTS, (), _write_safetensors, _read_safetensors),
    "torchscript": Format("model.torchscript.pt", (), _write_torchscript, _read_torchscript),
    "timm": Format("timm", ("timm",), _write_timm, _read_timm, class_labels=True, plain=True),
    "int8": Format(
        "model.int8.onnx",
        ("onnx", "onnxscript", "onnxruntime"),
        _write_int8,
        _read_onnx,
        exact=False,
        class_labels=True,
    ),
}
