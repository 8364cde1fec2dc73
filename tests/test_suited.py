"""A search that names neither preset nor space looks at the pictures; what it says, and that it goes on alike."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import retrain, search
from commands.another_run import flags_of_retraining, flags_of_search
from commands.presets import PRESETS
from commands.recipes import RECIPES, RetrainSettings, resolved
from commands.search_settings import settings_of
from commands.suited import suited
from foundation.errors import InputError
from foundation.files import write_json
from search_space.backbones import mobilenetv2
from search_space.cost.cost import Budget, measure
from search_space.network import build
from search_space.pretrained import at_hand, check_published, transfer
from search_space.spaces import priced_space
from training.data.picture_sizes import SAMPLE, picture_sizes
from training.recipe import Recipe


def _folder(root: Path, sizes: list[tuple[int, int]], classes: int = 2) -> Path:
    """A class a folder, each with grey pictures of these sizes; noise, so that a network has something to see."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        (root / f"class{label}").mkdir(parents=True)
        for number, (width, height) in enumerate(sizes):
            pixels = rng.integers(0, 255, (height, width), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"class{label}" / f"{number:03}.jpg")
    return root


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _folder(tmp_path_factory.mktemp("photographs"), [(100, 80), (90, 120), (300, 96)] * 4)


def test_sizes_are_those_of_the_headers(photographs: Path) -> None:
    sizes = picture_sizes(f"folder:{photographs}")
    assert sizes is not None
    assert (sizes.shorter, sizes.sampled, sizes.training) == (90, 16, 16)
    assert picture_sizes("digits") is None
    assert picture_sizes("folder:/absent") is None


def test_a_sample_is_read_of_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _folder(tmp_path / "many", [(40, 30)] * 12)
    (folder / "class0" / "broken.png").write_bytes(b"no picture")
    opened: list[object] = []
    real = Image.open
    monkeypatch.setattr("training.data.picture_sizes.SAMPLE", 5)
    monkeypatch.setattr("training.data.opening.Image.open", lambda file, **to: opened.append(file) or real(file, **to))
    sizes = picture_sizes(f"folder:{folder}")
    assert sizes is not None
    assert len(opened) == 5 < sizes.training
    assert sizes.shorter == 30
    assert SAMPLE >= 100


def test_photographs_are_searched_as_photographs(photographs: Path) -> None:
    assert suited({"data": f"folder:{photographs}"}) == (
        "photos",
        "space photos of 96 to 160 pixels, 60.0M MACs (preset photos): the pictures' shorter sides are 90 pixels "
        "(median of 16), 16 training pictures; name a preset, or give --space and --max-macs, to choose otherwise",
    )


def test_icons_stay_on_the_small_space(picture_folder: Path) -> None:
    found = suited({"data": f"folder:{picture_folder}"})
    assert found is not None
    assert found[0] == "digits"
    assert found[1].startswith("space mobile-32 of 32 pixels, 1.20M MACs (preset digits): the pictures' shorter sides")


def test_very_many_are_for_the_preset_of_many(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.suited.MANY", 10)
    found = suited({"data": f"folder:{photographs}"})
    assert found is not None
    assert found[0] == "imagenet"


@pytest.mark.parametrize("given", [{"preset": "digits"}, {"space": "mobilenetv2-32"}])
def test_what_is_named_wins(photographs: Path, given: dict[str, str]) -> None:
    assert suited({"data": f"folder:{photographs}", **given}) is None
    assert suited(given) is None
    assert suited({"data": "cifar10"}) is None


def test_a_given_budget_that_photos_cannot_meet_keeps_the_small_space(photographs: Path) -> None:
    found = suited({"data": f"folder:{photographs}", "max_macs": 1_000_000})
    assert found is not None
    assert found[0] == "digits"
    assert found[1].endswith(
        "but space photos has nothing within the budget given; name a preset, or give --space, to choose otherwise"
    )


@pytest.mark.parametrize("given", [{"max_params": 1_000_000}, {"max_macs": 9_500_000}])
def test_a_budget_is_met_with_the_classes_that_there_are(photographs: Path, given: dict[str, int]) -> None:
    """The smallest network of `photos` has 1.66M parameters and 10.3M MACs for 1000 classes."""
    found = suited({"data": f"folder:{photographs}", **given})
    assert found is not None
    assert found[0] == "photos"


def test_no_budget_is_told_where_there_is_none(photographs: Path) -> None:
    found = suited({"data": f"folder:{photographs}", "max_macs": None})
    assert found is not None
    assert found[1].startswith("space photos of 96 to 160 pixels (preset photos): ")
    assert found[1].endswith("name a preset, or give --space, to choose otherwise")


def _planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    search.main([*arguments, "--dry-run"])
    return capsys.readouterr().out


def test_the_obvious_command_says_what_it_chose(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("commands.search_told.show_plan", lambda *arguments: None)
    printed = _planned(capsys, "--data", f"folder:{photographs}")
    assert printed.startswith("space photos of 96 to 160 pixels, 60.0M MACs (preset photos): the pictures' shorter")
    assert "init scratch: no published weights in " in printed
    assert "--init torchvision downloads them" in printed
    assert "16 training pictures: 400 epochs of 1 step, 400 in all, of 16 pictures each (planned: " in printed
    assert "4 validation pictures are few: an accuracy of 90 % is known to ± 15.0 points (standard error)" in printed
    assert "without --dry-run the results go to runs/photos" in printed


def test_weights_at_hand_are_taken_and_nothing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *a, **k: pytest.fail("a download"))
    largest = priced_space("photos").largest
    assert at_hand(largest)[0] == "scratch"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "mobilenet_v2-7ebf99e0.pth").write_bytes(b"")
    assert at_hand(largest)[0] == "torchvision"
    assert at_hand(priced_space("mobilenetv2-32").largest)[0] == "scratch"


def test_published_weights_fill_the_space_of_photos() -> None:
    largest = priced_space("photos").largest
    assert check_published(largest)
    source = build(mobilenetv2())
    network = build(largest, 1000)
    report = transfer(source, network)
    assert report.copied == sum(parameter.numel() for parameter in source.parameters())


def test_the_budget_of_photos_holds_mobilenetv2_at_96_pixels() -> None:
    settings = settings_of("photos")
    assert Budget(max_macs=settings.max_macs).allows(measure(replace(mobilenetv2(), resolution=96), 1000))


def test_recipes_follow_the_runs_preset() -> None:
    assert resolved(RetrainSettings("x"), "photos") == RetrainSettings("x", recipe="photos", init="auto")
    assert resolved(RetrainSettings("x")) == RetrainSettings("x", recipe="quick", init="scratch")
    assert resolved(RetrainSettings("x", recipe="quick"), "photos").init == "scratch"
    assert resolved(RetrainSettings("x", init="torchvision"), "photos").init == "torchvision"
    assert all(preset.retraining in RECIPES for preset in PRESETS.values())
    assert RECIPES["photos"].augmentation != "random-resized-crop"  # which is not done in memory


SMALL = ["--supernet-epochs", "1", "--batch-size", "16", "--trials", "2", "--startup", "2", "--prior", "none"]


def test_a_search_of_photographs_goes_on_and_is_retrained_as_such(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("commands.search_told.show_plan", lambda *arguments: None)
    arguments = ["--data", f"folder:{photographs}", *SMALL]
    search.main(arguments)
    printed = capsys.readouterr().out
    assert "next:   python retrain.py runs/photos --compare" in printed
    front = Path("runs/photos/front.json").read_bytes()
    search.main(arguments)
    assert Path("runs/photos/front.json").read_bytes() == front
    config = json.loads(Path("runs/photos/config.json").read_text())
    assert config["free"]["preset"] == "photos"
    assert config["free"]["command"].startswith("python search.py photos --data ")

    # Another recipe, and weights that have come since: the line says how the run goes on.
    with pytest.raises(InputError) as refused:
        search.main([*arguments[:2], "--prior", "none", "--dry-run"])
    assert "give the same settings, here --supernet-epochs 1 --batch-size 16" in str(refused.value)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "mobilenet_v2-7ebf99e0.pth").write_bytes(b"")
    with pytest.raises(InputError, match=r"give the same settings, here --init scratch"):
        search.main([*arguments, "--dry-run"])
    search.main([*arguments, "--init", "scratch", "--dry-run"])
    shutil.rmtree(tmp_path / "hub")

    monkeypatch.setattr(
        "commands.retrain_told.show_retraining",
        lambda networks, sized, procedure, *more, **named: used.append(procedure.recipe),
    )
    used: list[Recipe] = []
    capsys.readouterr()
    retrain.main(["runs/photos", "--dry-run"])
    retrain.main(["runs/photos", "--dry-run", "--recipe", "quick"])
    printed = capsys.readouterr().out
    assert printed.count("init scratch: no published weights in ") == 1
    assert [recipe.rand_augment for recipe in used] == [RECIPES["photos"].rand_augment, 0]
    assert printed.count(" training pictures: ") == 2


def test_a_run_begun_before_says_how_it_goes_on(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one of this folder with the small space, and with epochs that nobody planned."""
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    old = ["digits", "--data", f"folder:{photographs}", "--out", str(tmp_path / "run"), *SMALL]
    search.main([*old, "--quiet"])
    new = ["--data", f"folder:{photographs}", "--out", str(tmp_path / "run"), "--prior", "none"]
    with pytest.raises(InputError) as refused:
        search.main([*new, "--quiet"])
    flags = str(refused.value).partition("give the same settings, here ")[2].split()
    assert flags == ["digits", "--supernet-epochs", "1", "--batch-size", "16"]
    search.main([*flags, *new, "--trials", "2", "--startup", "2", "--quiet"])


def test_a_retraining_begun_before_says_how_it_goes_on(photographs: Path, tmp_path: Path) -> None:
    architecture = tmp_path / "small.json"
    write_json(architecture, priced_space("mobilenetv2-32").smallest.to_dict())
    old = [str(architecture), "--data", f"folder:{photographs}", "--out", str(tmp_path / "out"), "--quiet"]
    retrain.main([*old, "--epochs", "1", "--batch-size", "16", "--learning-rate", "0.2"])
    with pytest.raises(InputError) as refused:
        retrain.main(old)
    flags = str(refused.value).partition("give the same settings, here ")[2].split()
    assert flags == ["--epochs", "1", "--batch-size", "16", "--learning-rate", "0.2", "--ema-decay", "0.0"]
    retrain.main([*old, *flags])


@pytest.mark.parametrize("recorded", [{}, {"space": [], "evaluator": 1}, {"evaluator": {"name": "supernet"}}])
def test_a_damaged_configuration_has_no_flags_but_no_traceback(recorded: dict[str, Any]) -> None:
    recipe = {"epochs": 1, "batch_size": 2}
    here = {"space": {"name": "photos"}, "evaluator": {"name": "supernet", "recipe": recipe, "init": "scratch"}}
    assert isinstance(flags_of_search(recorded, here), str)
    assert flags_of_retraining(recorded, {"recipe": recipe, "init": "scratch"}) == ""


def test_rungs_that_were_planned_otherwise_are_named() -> None:
    def scored(*rungs: int) -> dict[str, Any]:
        settings = {"halving": {"epochs": list(rungs)}}
        return {"space": {"name": "photos"}, "evaluator": {"name": "proxy", "settings": settings, "init": "scratch"}}

    assert flags_of_search(scored(1, 3, 9), scored(5, 15, 46)) == "--proxy-epochs 1,3,9"
    assert flags_of_search(scored(1, 3, 9), scored(1, 3, 9)) == ""
