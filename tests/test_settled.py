"""A benchmark's folder is of one data set and one way of training."""

from pathlib import Path

import pytest

from benchmarks.settled import settle


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    settle(tmp_path / "kept", data="digits 01", epochs=(1, 2))
    settle(tmp_path / "kept", data="digits 01", epochs=(1, 2))
    with pytest.raises(SystemExit, match="data is digits 01 there and digits 02 here; give another --folder"):
        settle(tmp_path / "kept", data="digits 02", epochs=(1, 2))
