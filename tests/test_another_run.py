"""What is said where a folder holds another run: in words where a digest alone tells the two apart."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from commands import describe, retrain, search
from foundation.errors import InputError
from foundation.files import write_json
from search_space.architecture import Architecture
from search_space.cost.latency import read_latency_table
from studies.runs.identity import difference
from training.checkpoint import load_weights

CHANGED = "the pictures are not those that it began with (files were added, removed, renamed or changed"


@pytest.mark.parametrize(
    ("place", "there", "here", "said"),
    [
        ("seed", 0, 1, "seed is 0 there and 1 here; use another `out`, or give the same settings"),
        ("init", None, "x", "init is none there and 'x' here; use another `out`, or give the same settings"),
        ("data", "folder " + 16 * "a", "folder " + 16 * "b", f"{CHANGED}); use another `out`, or bring the pictures"),
        ("data", "folder streamed " + 16 * "a", "folder " + 16 * "b", f"{CHANGED}); use another `out`"),
        (
            "data",
            "folder streamed " + 16 * "a",
            "folder " + 16 * "a",
            "its pictures are prepared otherwise: 'folder streamed' there and 'folder' here; use another `out`",
        ),
        ("data", "folder " + 16 * "a", "imagenet " + 16 * "b", "data is 'folder' there and 'imagenet' here; use"),
        ("data", "digits", "folder " + 16 * "b", "data is 'digits' there and 'folder' here; use another `out`"),
        ("latency", 64 * "a", 64 * "b", "the latency table is not the one that it began with: pieces or times differ;"),
        ("latency", None, 64 * "b", "latency is none there and given here; use another `out`, or give the same"),
        ("table", 64 * "a", 64 * "b", "the table of trained networks is not the one that it began with; use another"),
        ("teacher", "timm:a " + 16 * "a", "timm:a " + 16 * "b", "the teacher's file is not the one that it began"),
        ("teacher", "timm:a " + 16 * "a", "timm:c " + 16 * "b", "teacher is 'timm:a' there and 'timm:c' here; use"),
        ("teacher", 16 * "a", 16 * "b", "the teacher's file is not the one that it began with; use another `out`"),
    ],
)
def test_in_words(place: str, there: object, here: object, said: str) -> None:
    for nested in (place, f"evaluator.{place}")[: 1 if place == "data" else 2]:
        old, new = {place: there}, {place: here}
        if nested != place:
            old, new = {"evaluator": old}, {"evaluator": new}
            said = said.replace(f"{place} is", f"{nested} is")
        found = difference(old, new)
        assert found is not None
        assert found.told().startswith(said)
        assert 16 * "a" not in found.told()
        assert 16 * "b" not in found.told()
        assert difference(old, old) is None


def test_how_many_files() -> None:
    found = difference({"data": "folder " + 16 * "a"}, {"data": "folder " + 16 * "b"})
    assert found is not None
    before, now = {"train": 68, "test": 14}, {"train": 69, "test": 14}
    assert "changed: 68 train, 14 test then, 69 train, 14 test now); use" in found.told(before, now)
    assert "changed); use" in found.told(before, dict(before))  # renamed
    assert "changed); use" in found.told(None, now)  # begun when they were not recorded


@pytest.fixture
def pictures(picture_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(picture_folder, tmp_path / "pictures"))


@pytest.fixture
def small(pictures: Path, narrow_space_file: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(narrow_space_file.parent)
    scored = ["--evaluator", "zero-cost", "--score", "params", "--startup", "1", "--sampler", "random"]
    return [*("--space", str(narrow_space_file), "--data", f"folder:{pictures}", "--out", "run", "--quiet"), *scored]


def test_a_picture_added_since(small: list[str], pictures: Path) -> None:
    search.main([*small, "--trials", "2"])
    before = {file: file.read_bytes() for file in Path("run").iterdir()}
    shutil.copy(pictures / "digit0" / "00.png", pictures / "digit0" / "another.png")
    for more in ([], ["--dry-run"]):
        with pytest.raises(InputError) as refused:
            search.main([*small, "--trials", "3", *more])
        said = str(refused.value)
        counts = "68 train, 16 validation, 12 test then, 69 train, 16 validation, 12 test now"
        assert said.startswith(f"`out` run: holds another run: {CHANGED}: {counts}); use another `out`")
        assert said.endswith(", or bring the pictures back as they were")
    assert {file: file.read_bytes() for file in Path("run").iterdir()} == before
    (pictures / "digit0" / "another.png").unlink()
    search.main([*small, "--trials", "3"])


def test_a_retraining_of_pictures_that_have_changed(pictures: Path, small: list[str]) -> None:
    search.main([*small, "--trials", "2"])
    retraining = ["run", "--epochs", "1", "--quiet"]
    retrain.main(retraining)
    shutil.copy(pictures / "digit0" / "00.png", pictures / "digit0" / "another.png")
    with pytest.raises(InputError, match=r"`out` run/retrain: holds another run: the pictures are not those"):
        retrain.main(retraining)


def test_a_best_changed_by_more_trials(small: list[str]) -> None:
    """The former one goes on by its number if it is on the front, and is named where it is not."""
    search.main([*small, "--trials", "2"])
    retraining = ["run", "--epochs", "1", "--quiet"]
    retrain.main(retraining)
    former = json.loads(Path("run/best.json").read_text())["digest"]
    search.main([*small, "--trials", "8"])
    front = [entry["digest"] for entry in json.loads(Path("run/front.json").read_text())["front"]]
    assert json.loads(Path("run/best.json").read_text())["digest"] != former
    about = "`out` run/retrain: holds the retraining of another network (more trials may have changed the best of run)"
    if former in front:
        number = 1 + front.index(former)
        remedy = f"use another `out` for this one, or `network` {number} `out` run/retrain to go on with that one"
        retrain.main([*retraining, "--network", str(number), "--out", "run/retrain", "--dry-run"])
    else:
        remedy = "use another `out` for this one; that one is run/retrain/found-0/architecture.json"
    for more in ([], ["--dry-run"]):
        with pytest.raises(InputError) as refused:
            retrain.main([*retraining, *more])
        assert str(refused.value) == f"{about}; {remedy}"
    write_json(Path("run/front.json"), {**json.loads(Path("run/front.json").read_text()), "front": []})
    with pytest.raises(InputError, match=r"; that one is run/retrain/found-0/architecture\.json$"):
        retrain.main(retraining)
    retrain.main([*retraining, "--out", "elsewhere"])
    with pytest.raises(InputError, match="`out` elsewhere: holds the retraining of another network; use another `out`"):
        retrain.main(["run/retrain/found-0", *retraining[1:], "--out", "elsewhere"])


def test_a_network_of_the_front(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """By its number, of the run's folder, of its front.json, and of a front.json that lies alone."""
    search.main([*small, "--trials", "8"])
    front = json.loads(Path("run/front.json").read_text())["front"]
    assert len(front) > 1
    digests = [entry["digest"] for entry in front]
    best = json.loads(Path("run/best.json").read_text())["digest"]
    Path("copy").mkdir()
    shutil.copy("run/front.json", "copy/chosen.json")
    spec = small[small.index("--data") + 1]
    for source, data, out in (
        ("run", [], "run"),
        ("run/front.json", [], "run"),
        ("copy/chosen.json", ["--data", spec], "copy/chosen"),
    ):
        for number, digest in ((None, best), (1, digests[0]), (len(front), digests[-1])):
            chosen = [] if number is None else ["--network", str(number)]
            describe.main([source, *chosen])
            assert f"digest {digest}" in capsys.readouterr().out
            retrain.main([source, *data, *chosen, "--epochs", "1", "--dry-run"])
            place = f"{out}/retrain" if number is None else f"{out}/retrain-{number}"
            assert f"without --dry-run the results go to {place}\n" in capsys.readouterr().out
    retrain.main(["run/front.json", "--network", "1", "--epochs", "1", "--quiet"])
    _, metadata = load_weights(Path("run/retrain-1/found-0/weights.safetensors"))
    assert Architecture.from_json(metadata["architecture"]).digest() == digests[0]
    report = Path("run/report.html").read_text()
    assert "retrain-1" in report
    entries = [{"architecture": entry["architecture"]} for entry in front]
    write_json(Path("copy/chosen.json"), {"front": entries, "data": "digits"})
    for arguments, message in (
        (["copy/chosen.json"], r"copy/chosen\.json: does not say which network is the best; give `network` N"),
        (["run", "--network", "99"], rf"`network` 99: the front of run has networks 1 to {len(front)}"),
        (["mobilenetv2", "--network", "1"], "`network` 1: mobilenetv2 is one network, no run's folder and no front"),
        (["run/best.json", "--network", "1"], "`network` 1: run/best.json is one network, no run's folder and no"),
        (["run/retrain-1/found-0", "--network", "1"], "`network` 1: run/retrain-1/found-0 is one network"),
        (["absent", "--network", "1"], "absent: no such file"),
    ):
        for main in (retrain.main, describe.main):
            with pytest.raises(InputError, match=message):
                main([*arguments, *(["--data", spec] if main is retrain.main else [])])


def test_another_latency_table(small: list[str], narrow_space_file: Path) -> None:
    arguments = [*small, "--trials", "2", "--max-latency-ms", "1000"]
    search.main(arguments)
    path = Path("run/latency.json")
    table = read_latency_table(path)
    write_json(Path("other.json"), replace(table, constant_ns=table.constant_ns + 1).to_dict())
    with pytest.raises(InputError) as refused:
        search.main([*arguments, "--latency-table", "other.json"])
    assert str(refused.value) == (
        "`out` run: holds another run: the latency table is not the one that it began with: pieces or times differ; "
        "use another `out`, or give that table"
    )
