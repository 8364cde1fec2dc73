"""Which pictures a network was trained on, which its weights do not say, from its folder and those around it."""

import os
from pathlib import Path

from foundation.json_files import read_json
from training.data.dataset import Dataset, files_of
from training.standalone import RECIPE

CONFIG = "config.json"  # as `studies.runs.run_folder` writes it


def recorded_data(folder: Path, kind: str | None = None) -> str | None:
    """The data of the retraining that a network's folder lies in, or of that one's run; None if neither says.

    Args:
        kind: of data, such as `folder`, that is looked for; None for any.
    """
    for parent in folder.absolute().parents[:2]:
        path = parent / CONFIG
        content = read_json(path) if path.is_file() else None
        free = content.get("free") if isinstance(content, dict) else None
        spec = free.get("data") if isinstance(free, dict) else None
        if isinstance(spec, str) and kind in (None, spec.partition(":")[0]):
            return spec
    return None


def named_alike(spec: str, recorded: object) -> bool:
    """Whether both name the same pictures: by the same words, or the same folder or file by other ones."""
    if not isinstance(recorded, str) or spec == recorded:
        return spec == recorded
    kind, _, place = spec.partition(":")
    of, _, known = recorded.partition(":")
    try:
        return kind == of and bool(place and known) and os.path.samefile(place, known)
    except (OSError, ValueError):  # one of them is no path, or is there no more
        return False


def trained_on(folder: Path) -> str | None:
    """The `Dataset.identity` of what the network in a folder was trained on; None if nothing says it."""
    path = folder / RECIPE
    content = read_json(path) if path.is_file() else None
    identity = content.get("data") if isinstance(content, dict) else None
    return identity if isinstance(identity, str) else None


def changed(before: str | None, data: Dataset) -> bool:
    """Whether the pictures are others than those of that identity, which are named alike."""
    return before is not None and files_of(before) != files_of(data.identity)


def is_changed(spec: str, source: str) -> str:
    """The line for a user whose pictures are not what they were."""
    return (
        f"data: {spec} is not what {source} was given any more (files were added, removed, renamed or changed): what "
        "was trained on may be among what is tested on now"
    )
