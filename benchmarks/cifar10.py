"""CIFAR-10's training pictures as a folder that every command reads, for benchmarks that need real pictures."""

import random
import shutil
from collections.abc import Mapping
from pathlib import Path

from foundation.seeds import derive


def linked(pictures: Path, folder: Path, splits: Mapping[str, int]) -> Path:
    """A folder of links to the pictures, split by seed 0, each class alike.

    Args:
        pictures: a folder of pictures for each class.
        splits: how many pictures each split has, of all ten classes.
    """
    if not folder.exists():
        temporary = folder.with_suffix(".tmp")
        shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
        for kind in sorted(path for path in pictures.iterdir() if path.is_dir()):
            files = sorted(kind.iterdir())
            random.Random(derive(0, "outcome", kind.name)).shuffle(files)
            begin = 0
            for split, count in splits.items():
                (temporary / split / kind.name).mkdir(parents=True, exist_ok=True)
                for file in files[begin : begin + count // 10]:
                    (temporary / split / kind.name / file.name).symlink_to(file.resolve())
                begin += count // 10
        temporary.rename(folder)
    return folder
