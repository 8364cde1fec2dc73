"""Files that other packages ship, found without importing these: scikit-learn's import takes two seconds."""

from importlib.metadata import distribution
from pathlib import Path


def shipped(package: str, path: str) -> Path:
    """A file of an installed package.

    Args:
        package: its name on PyPI.
        path: of the file, from where packages are installed.
    """
    return Path(str(distribution(package).locate_file(path)))
