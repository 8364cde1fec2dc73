"""What networks answered so far, by what they were shown, in a file from where a killed command goes on."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from deployment.answers import all_finite, mapped
from deployment.model_source import Model
from foundation.errors import InputError
from foundation.json_files import parse_json
from training.task import Answers

Ask = Callable[[Model, Tensor], Answers]
"""What a network answers to N×3×H×W pictures, on the CPU."""

LONGEST = 1 << 24  # characters of a line that are read
_TYPES = {str(one).removeprefix("torch."): one for one in (torch.float32, torch.float16, torch.int64, torch.int32)}
_ONE = ""  # the name of an answer that is one tensor


def asked(model: Model, images: Tensor) -> Answers:
    """The network's own answers, see `Ask`."""
    answers: Answers = mapped(model.see(images).answers, Tensor.cpu)
    return answers


class Answered:
    """A file with a line an answer; as a context it is closed, and removed at an end without an exception.

    An answer is found by the contents of the network's file and of the pictures, so nothing of another network or of
    other frames is ever taken. A line that a kill cut off, and all after it, is dropped and answered again.
    """

    def __init__(self, path: Path):
        self.path = path
        self._found: dict[str, Answers] = {}
        self._networks: dict[Path, bytes] = {}
        self._good = 0  # bytes of whole lines
        if path.is_file():
            with open(path, "rb") as file:
                for line in file:
                    if not self._read(line):
                        break
                    self._good += len(line)
        self.before = len(self._found)

    def __enter__(self) -> "Answered":
        self._file = open(self.path, "r+b" if self.path.is_file() else "wb")
        self._file.truncate(self._good)
        self._file.seek(self._good)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None:
            self.path.unlink()

    def of(self, model: Model, images: Tensor) -> Answers:
        """The network's answers, or those that it gave before; see `Ask`."""
        key = self._key(model, images)
        if key not in self._found:
            answers = asked(model, images)
            if not (all_finite(answers) and _can_be_written(answers)):
                return answers
            self._found[key] = answers
            self._file.write(json.dumps({"key": key, "answers": _written(answers)}).encode() + b"\n")
            self._file.flush()
        return self._found[key]

    def _key(self, model: Model, images: Tensor) -> str:
        if model.path not in self._networks:
            self._networks[model.path] = hashlib.sha256(model.path.read_bytes()).digest()
        where = "" if model.network is None else next(model.network.parameters()).device.type
        shown = f"{where} {tuple(images.shape)}".encode() + images.numpy().tobytes()
        return hashlib.sha256(self._networks[model.path] + shown).hexdigest()

    def _read(self, line: bytes) -> bool:
        """Takes a line in. Whether it is a whole one."""
        if not line.endswith(b"\n"):
            return False
        try:
            content = parse_json(line.decode(), LONGEST)
            self._found[content["key"]] = _read(content["answers"])
        except (InputError, UnicodeDecodeError, KeyError, TypeError, ValueError, RuntimeError):
            return False
        return True


def _named(answers: Answers) -> Mapping[str, Tensor]:
    return answers if isinstance(answers, Mapping) else {_ONE: answers}


def _can_be_written(answers: Answers) -> bool:
    """Whether its numbers are the same after `_written` and `_read`: another program's file may have other types."""
    return all(each.dtype in _TYPES.values() for each in _named(answers).values())


def _written(answers: Answers) -> dict[str, Any]:
    types = {dtype: name for name, dtype in _TYPES.items()}
    return {
        name: {"type": types[each.dtype], "shape": list(each.shape), "values": each.flatten().tolist()}
        for name, each in _named(answers).items()
    }


def _read(content: Mapping[str, Any]) -> Answers:
    """The opposite of `_written`. Raises KeyError, TypeError, ValueError or RuntimeError for what is not of it."""
    named = {
        name: torch.tensor(each["values"], dtype=_TYPES[each["type"]]).reshape(each["shape"])
        for name, each in content.items()
    }
    return named.get(_ONE, named)
