"""Objects in the JSON files of a run, and what of their fields a report relies on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.errors import InputError
from foundation.json_files import MAX_OF_A_RUN, read_json, shown
from foundation.metric import Metric
from studies.runs.identity import PICTURES, ranked_by


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where there is no file."""
    if not path.exists():
        return {}
    content = read_json(path, MAX_OF_A_RUN)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object")
    return content


def inner(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object in the field of that name; an empty one for anything else."""
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def metric_of(path: Path, identity: Mapping[str, Any]) -> Metric:
    """What candidates are ranked by. Raises InputError for what is no metric."""
    try:
        return ranked_by(identity)
    except InputError as error:
        raise InputError(f"{path}: identity.{error}") from None


def check_kinds(path: Path, content: Mapping[str, Any], **kinds: type) -> None:
    """Raises InputError naming the first of the fields that is there and is of another kind."""
    words: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}
    for name, kind in kinds.items():
        if content.get(name) is not None and not isinstance(content[name], kind):
            raise InputError(f"{path}: {name}: expected {words[kind]}, got {shown(content[name])}")


def pictures_of(free: Mapping[str, Any], split: str) -> int | None:
    """How many pictures a configuration says that the split has; None where it does not."""
    count = inner(free, PICTURES).get(split)
    return count if type(count) is int and count > 0 else None
