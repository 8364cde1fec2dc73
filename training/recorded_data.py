"""Where the pictures of a retraining lie, which its weights do not say, from the folders around a trained network's."""

from pathlib import Path

from foundation.json_files import read_json

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
