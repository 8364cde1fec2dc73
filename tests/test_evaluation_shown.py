"""What a person sees of an evaluation: the confusion picture, in any letters, and the table of classes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deployment.evaluation import Evaluation
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from reports import fonts
from reports.terminal.confusion_picture import draw_confusion
from reports.terminal.deployed_tables import class_table
from tasks.classification.room import of_pictures
from training.task import Examination


def _evaluation(names: tuple[str, ...], matrix: torch.Tensor) -> Evaluation:
    measured = Measured(ACCURACY, 0.5, {"loss": 0.1})
    return Evaluation(names, Examination(measured, int(matrix.sum()), by_class=lambda: of_pictures(matrix)))


@pytest.mark.parametrize("number", [3, 100])
def test_pictures_of_few_and_many_classes(number: int, tmp_path: Path) -> None:
    matrix = torch.eye(number, dtype=torch.int64) * 90
    matrix[0, -1] += 10
    names = tuple(f"$name_{{{index}}}^ [b] of some length {index}" for index in range(number))
    evaluation = _evaluation(names, matrix)
    assert draw_confusion(evaluation, "100 $ %", tmp_path / "c.png") == []
    with Image.open(tmp_path / "c.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
        assert max(picture.size) < 4000
    # The diagonal is dark blue from the first row to the last; the colour bar is beside it.
    blue = ((pixels[..., 2] > pixels[..., 0] + 60) & (pixels[..., 0] < 40))[:, : pixels.shape[1] * 4 // 5]
    rows, columns = blue.any(1).nonzero()[0], blue.any(0).nonzero()[0]
    assert len(rows) > 0.8 * (rows[-1] - rows[0]) > 300
    assert len(columns) > 0.8 * (columns[-1] - columns[0]) > 280


def test_a_table_of_many_classes_has_the_worst(capsys: pytest.CaptureFixture[str]) -> None:
    matrix = torch.eye(50, dtype=torch.int64) * 9
    matrix[37, 12] = 30
    evaluation = _evaluation(tuple(f"[red]{index:02}" for index in range(50)), matrix)
    Reporter().show(class_table(evaluation))
    lines = capsys.readouterr().out.splitlines()
    assert "the 30 of 50 classes with the lowest recall" in lines[0]
    (first, *rest) = [line for line in lines if " % " in line]
    assert first.split() == ["[red]37", "39", "23.08", "%", "100.00", "%", "[red]12", "(30)"]
    assert len(rest) == 29


def test_names_that_no_font_has_are_shown_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {fonts.OWN: fonts._installed()[fonts.OWN]}
    monkeypatch.setattr(fonts, "_installed", lambda: dict(own))
    evaluation = _evaluation(("狗", "dog", "강아지"), torch.eye(3, dtype=torch.int64))
    # That matplotlib warns of a letter that it has not, and draws a box for, is an error in these tests.
    assert draw_confusion(evaluation, "狗: 100 %", tmp_path / "c.png") == ["狗", "강아지"]
    assert [entry["number"] for entry in evaluation.to_dict()["classes"]] == [0, 1, 2]
    numbered = _evaluation(("0", "dog", "2"), torch.eye(3, dtype=torch.int64))
    assert draw_confusion(numbered, "?: 100 %", tmp_path / "d.png") == []
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "d.png").read_bytes()


def test_names_are_written_in_a_font_that_has_their_letters(tmp_path: Path) -> None:
    letter = min(fonts._letters(fonts._installed()["STIXNonUnicode"]) - fonts._letters(fonts._installed()[fonts.OWN]))
    found, missing = fonts.families(["dog", letter])
    assert found[0] == fonts.OWN
    assert len(found) == 2
    assert not missing
    evaluation = _evaluation((letter, "dog"), torch.eye(2, dtype=torch.int64))
    assert draw_confusion(evaluation, letter, tmp_path / "c.png") == []
