"""A benchmark's folder is of one data set and one way of training: results of another are not taken for them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.files import write_json
from foundation.json_files import read_json

SETTLED = "settings.json"


def settle(folder: Path, **settings: Any) -> None:
    """Keeps the settings in the folder, which is made. Ends the benchmark where they are others than those kept there.

    A folder of before, without any, is taken for one of these.
    """
    told: Mapping[str, Any] = json.loads(json.dumps(settings))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTLED
    kept = read_json(path) if path.exists() else told
    for name, value in told.items():
        if kept.get(name) != value:
            raise SystemExit(f"{folder}: {name} is {kept.get(name)} there and {value} here; give another --folder")
    write_json(path, {**kept, **told})
