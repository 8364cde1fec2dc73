"""The state of a training on disk: whole at any moment, and never loaded as code."""

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from foundation.errors import InputError, first_line
from foundation.files import write_atomically


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values, atomically; what was there before is kept as the previous one."""
    write_atomically(path, lambda temporary: torch.save(state, temporary), keep=previous(path))


def previous(path: Path) -> Path:
    """Where the checkpoint before the one at `path` is kept."""
    return path.with_name(f"{path.name}.previous")


def remove_checkpoints(path: Path) -> None:
    """Removes the checkpoint at `path` and the one before it, if they are there."""
    path.unlink(missing_ok=True)
    previous(path).unlink(missing_ok=True)


def latest_checkpoint(path: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest whole checkpoint: that at `path`, or the one before it, which is then told; None if there is none.

    Raises InputError if there are broken ones only.
    """
    try:
        state = load_checkpoint(path)
    except InputError as error:
        try:
            state = load_checkpoint(previous(path))
        except InputError:
            state = None
        if state is None:
            raise
        say(f"{error}".partition("; remove it")[0] + "; going on from the one before it")
        path.unlink(missing_ok=True)  # else the next one would move it over the good one
        return state
    # Without the newest a process was killed between two moves of files.
    return load_checkpoint(previous(path)) if state is None else state


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, on the CPU; None if there is none. Raises InputError for a broken file."""
    if not path.exists():
        return None
    try:
        state = _saved(path)
    except Exception as error:  # a file with flipped bits raises nearly anything
        reason = first_line(error)
        raise InputError(f"{path}: not a checkpoint ({reason}); remove it to train from the beginning") from None
    if not isinstance(state, dict):
        raise InputError(f"{path}: not a checkpoint; remove it to train from the beginning")
    return state


def _saved(path: Path) -> Any:
    """What torch saved, on the CPU. A broken file raises nearly anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's guesses about a broken file; the error says enough
        # torch reads without looking at the checksums that its own file format has.
        with zipfile.ZipFile(path) as archive:
            # torch stores without compression: what is compressed could be of any size when it is read.
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("it is compressed")
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} is damaged")
        return torch.load(path, map_location="cpu", weights_only=True)


STATES = ("state_dict_ema", "state_dict", "model")
"""Under which of these a checkpoint of other programs has its tensors, the first that there is."""


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors by name that another program saved, with safetensors or with torch, perhaps within a checkpoint.

    Raises InputError for a file that holds more than tensors and plain values, or none.
    """
    if not zipfile.is_zipfile(path):
        return load_weights(path)[0]
    try:
        state = _saved(path)
    except Exception as error:  # a file with flipped bits raises nearly anything
        raise InputError(f"{path}: cannot be read ({first_line(error)}); save its state dictionary alone") from None
    if isinstance(state, dict):
        state = next((state[name] for name in STATES if isinstance(state.get(name), dict)), state)
        if state and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
            return state
    raise InputError(f"{path}: holds no tensors by name; save a network's state dictionary")


def save_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file, atomically; equal tensors and metadata give equal bytes."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def write(temporary: Path) -> None:
        safetensors.torch.save_file(whole, temporary, metadata)
        _sort_metadata(temporary)

    write_atomically(path, write)


def _sort_metadata(path: Path) -> None:
    """Puts the header's metadata in order, which safetensors writes in an order that differs by chance.

    The file is the header's length (8 bytes, little-endian), the header as JSON, and the tensors, whose places the
    header counts from its own end. Spaces after the JSON are part of the format.
    """
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        if "__metadata__" not in header:
            return
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(length)
        if len(text) == length:  # as it is for every text that safetensors and Python write alike
            file.seek(8)
            file.write(text)
            return
        file.seek(8 + length)
        tensors = file.read()
        text = text.ljust(-(-len(text) // 8) * 8)
        file.seek(0)
        file.write(len(text).to_bytes(8, "little") + text + tensors)
        file.truncate()


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises InputError for a missing or broken one."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; train again from the beginning, in a new folder") from None
    except (OSError, safetensors.SafetensorError) as error:
        if _of_old_torch(path):
            raise InputError(
                f"{path}: in the format that torch wrote before its version 1.6, which is not read here; load it with "
                "torch where you trust it, and save its state dictionary again by torch.save, or as safetensors"
            ) from None
        raise InputError(f"{path}: not a safetensors file ({error}); give another, or train again") from None


# Torch's magic number as pickle writes it: a length, and the number's bytes, the lowest first.
_OLD_TORCH = b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."
_PROTOCOL = 32  # bytes at the start, which say pickle's protocol and perhaps a frame


def _of_old_torch(path: Path) -> bool:
    """Whether the file begins as torch's did before they were zip archives. Nothing of it is unpickled."""
    try:
        with open(path, "rb") as file:
            return _OLD_TORCH in file.read(_PROTOCOL)
    except OSError:
        return False
