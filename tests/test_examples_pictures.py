"""What a retraining keeps of a test to look at, and what the report shows of it."""

import base64
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import BoundingBoxes, Mask

from commands import retrain
from deployment.answers import Seen
from deployment.model_source import Model
from foundation.errors import InputError
from foundation.files import write_json
from foundation.progress import Reporter
from reports import kept_tests
from reports.html import seen_section
from reports.html.seen_section import seen
from reports.kept_tests import CONFUSION, EXAMPLES, TEST, KeptTest, Picture, keep_test, read_test
from reports.record import Record
from reports.terminal.examples_picture import COUNT, SIDE, Example, answers_alone, draw_examples, examples, pixels
from reports.trainings import Retrained
from search_space import Architecture, Attention, Stage, build
from search_space.cost.cost import Cost
from tasks.choice import task
from tasks.detection.room import Detection
from tasks.segmentation.room import SEGMENTATION
from tests.bright_squares import Centre
from training.data import scenes
from training.data.dataset import Dataset
from training.data.held import HeldSplit
from training.data.pictures import Pictures
from training.data.whole_pictures import IGNORED
from training.model_file import ModelInfo, save_model
from training.targets import Targets
from training.task import ByClass, Drawing, Drawn, Entry

CPU = torch.device("cpu")
QUIET = Reporter(quiet=True)
STAGES = (Stage("inverted_residual", 12, 2, 2, 3, (Attention("none"),)),)
ARCHITECTURE = Architecture(48, 8, 2, STAGES, None, "relu6")
CLASSES = ("a", "b", "c")


def _dataset(images: Tensor, targets: Targets, mean: Sequence[float], std: Sequence[float]) -> Dataset:
    """The same pictures in every split."""
    mean, std = tuple(mean), tuple(std)
    return Dataset(
        "made", "made", CLASSES, mean, std, lambda split: HeldSplit(Pictures(images, targets), mean, std, CPU), CPU
    )


def _random(*shape: int, high: int = 256, seed: int = 0) -> Tensor:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


# Pictures


@pytest.mark.parametrize(
    ("mean", "std"), [((0.1, 0.5, 0.7), (0.2, 0.3, 0.9)), ((0.5,) * 3, (0.5,) * 3), ((0.3,), (0.4,))]
)
def test_pixels_are_those_before_normalisation(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    images = _random(2, len(mean), SIDE, SIDE)
    data = _dataset(images, Mask(_random(2, SIDE, SIDE, high=3)), mean, std)
    ((normalised, _),) = data.test.batches(2)
    for before, after in zip(images, normalised, strict=True):
        assert torch.equal(pixels(after, mean, std), before.expand(3, -1, -1))


@pytest.mark.parametrize(
    ("size", "expected"), [((100, 50), (256, 128)), ((48, 48), (256, 256)), ((300, 700), (110, 256))]
)
def test_pictures_of_any_size_are_shown_alike(size: tuple[int, int], expected: tuple[int, int]) -> None:
    image = _random(3, *size)
    found = pixels((image / 255 - 0.4) / 0.2, (0.4,), (0.2,))
    assert found.shape == (3, *expected)
    theirs = F.resize(image, list(expected), antialias=True)
    assert (found.int() - theirs.int()).abs().max() <= 1


def test_of_masks_the_truth_leaves_what_is_ignored() -> None:
    picture, masks = _random(3, 64, 64), _random(2, 32, 32, high=3)
    masks[0, :16] = IGNORED
    masks[1] = IGNORED
    some, none = (SEGMENTATION.drawn(picture, one, (32, 32), CLASSES) for one in SEGMENTATION.truth(Mask(masks)))
    assert torch.equal(some.picture[:, :32], picture[:, :32])
    assert set(some.colours) == set(CLASSES)
    said = SEGMENTATION.drawn(picture, masks[0].long().clamp(max=2), (32, 32), CLASSES)
    assert torch.equal(some.picture[:, 32:], said.picture[:, 32:])  # by the same code as an answer
    assert not torch.equal(some.picture[:, 32:], picture[:, 32:])
    assert torch.equal(none.picture, picture)
    assert none.colours == {}


def test_of_boxes_the_truth_leaves_out_what_is_ignored() -> None:
    detection, picture = Detection(), _random(3, 100, 100)
    boxes = torch.tensor([[1.0, 2.0, 20.0, 30.0], [25.0, 25.0, 45.0, 45.0]])
    target = {
        "boxes": BoundingBoxes(boxes, format="XYXY", canvas_size=(50, 50)),
        "labels": torch.tensor([2, 0]),
        "ignored": torch.tensor([False, True]),
    }
    (truth,) = detection.truth([target])
    drawn = detection.drawn(picture, truth, (50, 50), CLASSES)
    sure = {"boxes": boxes, "labels": torch.tensor([2, 0]), "scores": torch.tensor([1.0, 0.2])}
    said = detection.drawn(picture, sure, (50, 50), CLASSES)
    assert torch.equal(drawn.picture, said.picture)
    assert set(drawn.colours) == {"c"}
    assert not torch.equal(drawn.picture, picture)
    (all_of_it,) = detection.truth([{name: value for name, value in target.items() if name != "ignored"}])
    assert set(detection.drawn(picture, all_of_it, (50, 50), CLASSES).colours) == {"a", "c"}


def test_the_best_box_lies_on_top() -> None:
    boxes, labels = torch.tensor([[2.0, 2.0, 20.0, 20.0]] * 2), torch.tensor([1, 2])
    black = torch.zeros(3, 24, 24, dtype=torch.uint8)
    drawn = Detection().drawn(black, {"boxes": boxes, "labels": labels, "scores": torch.ones(2)}, (24, 24), CLASSES)
    assert tuple(drawn.picture[:, 2, 10].tolist()) == drawn.colours["b"]


def _model(answers: Tensor, architecture: Architecture = ARCHITECTURE) -> Model:
    """One that answers so."""
    info = ModelInfo(architecture, CLASSES, (0.5,), (0.5,), "made", "segmentation")
    return Model(Path("made"), info, lambda images: Seen(answers[: len(images)]))


@pytest.mark.parametrize(("count", "shown"), [(20, [0, 3, 6, 10, 13, 16]), (4, [0, 1, 2, 3])])
def test_the_pictures_are_evenly_spaced_and_who_knows_is_right(count: int, shown: list[int]) -> None:
    images, masks = _random(count, 3, 48, 48), _random(count, 48, 48, high=3)
    data = _dataset(images, Mask(masks), (0.5,) * 3, (0.5,) * 3)
    found = examples(SEGMENTATION, _model(masks[shown].long()), data)
    assert len(found) == min(COUNT, count)
    for one, number in zip(found, shown, strict=True):
        theirs = F.resize(images[number], [SIDE, SIDE], antialias=True)
        assert (one.picture.int() - theirs.int()).abs().max() <= 1
        assert torch.equal(one.truth.picture, one.answer.picture)
    wrong = examples(SEGMENTATION, _model((masks[shown].long() + 1) % 3), data)
    assert torch.equal(wrong[0].truth.picture, found[0].truth.picture)
    assert not torch.equal(wrong[0].answer.picture, found[0].answer.picture)


def test_a_network_of_another_resolution_sees_them_at_its_own() -> None:
    masks = Mask(_random(3, 24, 24, high=3))
    data = _dataset(_random(3, 1, 24, 24), masks, (0.4,), (0.3,))
    found = examples(SEGMENTATION, _model(torch.zeros(3, 48, 48).long()), data)
    assert [set(one.answer.colours) for one in found] == [{"a"}] * 3
    assert found[0].picture.shape == (3, SIDE, SIDE)


def test_the_file_holds_every_picture(tmp_path: Path) -> None:
    """At its place, and the network's column can be had alone; the legend begins with what the truth has."""
    rows = []
    for seed in (1, 2):
        drawn = [Drawn(_random(3, 40, 30, seed=10 * seed + n), {}) for n in (1, 2)]
        rows.append(Example(_random(3, 40, 30, seed=10 * seed), *drawn))
    rows[0] = rows[0]._replace(answer=rows[0].answer._replace(colours={"a": (9, 8, 7), "c": (1, 2, 3)}))
    rows[1] = rows[1]._replace(truth=rows[1].truth._replace(colours={"c": (1, 2, 3)}))
    draw_examples(rows, CLASSES, "uniform $ 狗 " + 40 * "x", tmp_path / EXAMPLES)
    with Image.open(tmp_path / EXAMPLES) as image:
        whole = np.asarray(image.convert("RGB"))
        alone = np.asarray(answers_alone(image.convert("RGB")))
        with pytest.raises(ValueError, match="outside"):
            answers_alone(image.crop((0, 0, 20, 20)))

    def place(picture: Tensor, within: np.ndarray) -> tuple[int, int]:
        wanted = picture.permute(1, 2, 0).numpy()
        windows = np.lib.stride_tricks.sliding_window_view(within, wanted.shape)[:, :, 0]
        (found,) = np.argwhere((windows == wanted).all((2, 3, 4)))
        return int(found[0]), int(found[1])

    places = [[place(one, whole) for one in (row.picture, row.truth.picture, row.answer.picture)] for row in rows]
    assert [[x for _, x in row] for row in places] == [[8, 46, 84]] * 2
    assert [len({y for y, _ in row}) for row in places] == [1, 1]
    assert place(rows[0].answer.picture, alone)[1] == place(rows[1].answer.picture, alone)[1]
    below = whole[places[1][0][0] + 40 :]
    first, second = ((below == colour).all(2).nonzero() for colour in ((1, 2, 3), (9, 8, 7)))
    assert (first[0].min(), first[1].min()) < (second[0].min(), second[1].min())


# Retrainings

FILES = {TEST, CONFUSION, EXAMPLES}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("training.data.scenes.SIZES", {"train": 32, "validation": 8, "test": 16})
    Path("small.json").write_text(ARCHITECTURE.to_json())


def _retrained(*flags: str) -> Path:
    given = ["small.json", "--data", "scenes", "--epochs", "1", "--batch-size", "16", "--out", "out", "--quiet"]
    retrain.main([*given, *flags])
    return Path("out/given-0")


@pytest.mark.usefixtures("few")
def test_a_retraining_leaves_what_there_is_to_see(capsys: pytest.CaptureFixture[str]) -> None:
    """The same when it is started again, which trains nothing."""
    folder = _retrained("--task", "segmentation", "--head", "conv/8")
    contents = {name: (folder / name).read_bytes() for name in FILES}
    with Image.open(folder / EXAMPLES) as image:
        assert image.width == 3 * SIDE + 4 * 8
    told = json.loads(contents[TEST])
    (result,) = json.loads(Path("out/results.json").read_text())
    assert {entry["name"]: entry["value"] for entry in told["entries"]} == result["test"]
    assert [row["name"] for row in told["classes"]] == list(scenes.CLASSES)
    shares = [row["shares"]["iou"] for row in told["classes"]]
    assert result["test"]["miou"] == pytest.approx(np.mean([one for one in shares if one is not None]))
    assert sum(row["count"] for row in told["classes"]) == 16 * 48**2
    assert told["unit"] == "pixels"
    for name in FILES:
        (folder / name).unlink()
    (folder / f".{EXAMPLES}.killed.tmp").write_text("")
    _retrained("--task", "segmentation", "--head", "conv/8")
    assert {name: (folder / name).read_bytes() for name in FILES} == contents
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.usefixtures("few")
def test_boxes_are_drawn_and_told_by_size() -> None:
    folder = _retrained("--task", "detection", "--head", "ssdlite/16")
    assert (folder / EXAMPLES).exists()
    assert not (folder / CONFUSION).exists()
    found = read_test(folder)
    assert found is not None
    assert [entry.name for entry in found.entries][3:6] == ["ap_small", "ap_medium", "ap_large"]
    assert found.by_class is not None
    assert (found.by_class.unit, list(found.by_class.shares)) == ("boxes", ["ap"])
    assert found.classes == tuple("0123456789")


def _kept(name: str, data: Dataset, folder: Path, *, diverged: bool = False) -> set[str]:
    """The files that are left of the test of a network of the task."""
    what_for = task(name)
    head = what_for.head(data.num_classes, ARCHITECTURE)
    network = build(ARCHITECTURE, head)
    for parameter in network.parameters() if diverged else ():
        torch.nn.init.constant_(parameter, float("nan"))
    info = ModelInfo(ARCHITECTURE, data.classes, data.mean, data.std, data.name, name, {}, head)
    save_model(folder / "weights.safetensors", network.state_dict(), info)
    keep_test(folder, what_for, data, what_for.measure(network, data.test.batches(8)), "mine", QUIET)
    return {path.name for path in folder.iterdir()} - {"weights.safetensors"}


def test_only_who_can_draw_does(tmp_path: Path) -> None:
    assert not isinstance(Centre(), Drawing)
    assert _kept("centre", Centre().data("squares", 48, CPU), tmp_path) == {TEST}
    found = read_test(tmp_path)
    assert found is not None
    assert (found.entries, found.by_class, found.examples) == ((), None, None)


def test_a_loss_that_is_no_number_is_not_told(tmp_path: Path) -> None:
    data = _dataset(_random(8, 3, 48, 48), Mask(_random(8, 48, 48, high=3)), (0.5,) * 3, (0.5,) * 3)
    assert _kept("segmentation", data, tmp_path, diverged=True) == FILES
    found = read_test(tmp_path)
    assert found is not None
    assert found.entries[1] == Entry("loss", "loss", None, "")


def test_of_a_classifier_nothing_is_kept(tmp_path: Path) -> None:
    data = _dataset(_random(8, 3, 48, 48), torch.arange(8) % 3, (0.5,) * 3, (0.5,) * 3)
    assert _kept("classification", data, tmp_path) == set()


@pytest.mark.parametrize(("rank", "world", "files"), [(0, 1, FILES), (0, 2, {TEST, EXAMPLES}), (1, 2, set())])
def test_the_first_process_writes(
    rank: int, world: int, files: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several, none knows all pictures by class."""
    monkeypatch.setattr(kept_tests.distributed, "rank", lambda: rank)
    monkeypatch.setattr(kept_tests.distributed, "world", lambda: world)
    data = _dataset(_random(8, 1, 48, 48), Mask(_random(8, 48, 48, high=3)), (0.5,), (0.5,))
    assert _kept("segmentation", data, tmp_path) == files
    if files:
        assert ("classes" in json.loads((tmp_path / TEST).read_text())) == (world == 1)


# The report


def _tested(folder: Path, name: str, *, confusion: bool = False) -> KeptTest:
    """As a retraining leaves it."""
    folder.mkdir()
    drawn = (Drawn(_random(3, 64, 64, seed=seed), {"a": (1, 2, 3)}) for seed in (1, 2))
    draw_examples([Example(_random(3, 64, 64), *drawn)], CLASSES, name, folder / EXAMPLES)
    if confusion:
        Image.new("RGB", (90, 60)).save(folder / CONFUSION)
    entries = [Entry("miou", "mIoU", 0.5, "50.00 %")._asdict(), Entry("loss", "loss", None, "")._asdict()]
    rows = [
        {"number": number, "name": name, "count": 1234 * number, "shares": {"iou": share}}
        for number, (name, share) in enumerate(zip(CLASSES, (0.25, None, 1.0), strict=True))
    ]
    write_json(folder / TEST, {"entries": entries, "unit": "pixels", "classes": rows})
    found = read_test(folder)
    assert found is not None
    return found


def _record(networks: dict[str, KeptTest | None]) -> Record:
    cost = Cost(1, 1)
    trained = (Retrained(name, ARCHITECTURE, cost, 0, 0.5, "retrain", one) for name, one in networks.items())
    return Record(Path("runs/mine"), retrained=tuple(trained))


def _words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("\N{NO-BREAK SPACE}", " ").split())


def _pictures(html: str) -> list[tuple[str, tuple[int, int]]]:
    """What is told of each embedded picture, and its size, which the page says as well."""
    found = []
    for source, told, width, height in re.findall(r'<img src="(.*?)" alt="(.*?)" width="(\d+)" height="(\d+)"/>', html):
        kind, _, content = source.partition(",")
        assert kind == "data:image/webp;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            assert image.size == (int(width), int(height))
            found.append((told, image.size))
    assert len(found) == html.count("<img")
    return found


def test_the_report_shows_the_found_network_and_beside_it_the_others(tmp_path: Path) -> None:
    networks = {"uniform se": _tested(tmp_path / "se", "uniform se"), "old": None}
    networks["found"] = _tested(tmp_path / "found", "found", confusion=True)
    section = seen(_record(networks))
    assert section is not None
    assert section.title == "What it sees"
    html = "".join(section.content)
    first, others = html.split("<details>")
    assert [told for told, _ in _pictures(first)] == ["Test pictures in rows: the picture, the truth, what found says."]
    assert [size[0] for _, size in _pictures(others)] == [72, 90]  # a column, and the confusion matrix
    assert "What uniform se says of the same pictures" in _pictures(others)[0][0]
    words = _words(html)
    assert "By class: found class pixels iou a 0 25.00 % b 1,234 c 2,468 100.00 %" in words
    assert words.endswith("The numbers of the test network mIoU found 50.00 % uniform se 50.00 %")  # nobody has a loss


def test_of_several_seeds_the_first_is_shown() -> None:
    trained = [
        Retrained("found", ARCHITECTURE, Cost(1, 1), seed, 0.5, "retrain", KeptTest((Entry("x", "x", 1.0, said),)))
        for seed, said in ((1, "second"), (0, "first"), (2, "third"))
    ]
    section = seen(Record(Path("runs/mine"), retrained=tuple(trained)))
    assert section is not None
    assert _words("".join(section.content)) == "The numbers of the test network x found first"


def test_a_report_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = {name: _tested(tmp_path / name, name) for name in ("found", "one", "two")}
    monkeypatch.setattr(seen_section, "MOST_EMBEDDED", 10)
    section = seen(_record(dict(networks)))
    assert section is not None
    html = "".join(section.content)
    assert len(_pictures(html)) == 1
    assert f"More pictures than this page holds are in the folders of one and two: {EXAMPLES}." in _words(html)


def test_a_report_without_tests_has_no_such_part() -> None:
    assert seen(_record({})) is None
    assert seen(_record({"found": None})) is None
    assert seen(_record({"found": KeptTest(())})) is None


def test_names_are_no_markup(tmp_path: Path) -> None:
    hostile = '"><script>alert(1)</script>'
    known = ByClass(hostile, [1], {hostile: [0.5]})
    section = seen(_record({hostile: KeptTest((Entry("x", hostile, 1.0, hostile),), (hostile,), known)}))
    assert section is not None
    assert "<script" not in "".join(section.content)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (TEST, b"[]", "not a test"),
        (TEST, b'{"entries": [{"name": "miou"}]}', "not a test"),
        (
            TEST,
            b'{"entries": [], "unit": "x", "classes": [{"name": "a", "count": 1, "shares": {"iou": "x"}}]}',
            "not a test",
        ),
        (TEST, b'{"entries": [], "classes": [{"name": "a", "count": 1, "shares": {}}]}', "not a test"),
        (EXAMPLES, b"GIF89a", "not a picture of a test"),
        (EXAMPLES, b"", "not a picture of a test"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, file: str, content: bytes, message: str) -> None:
    _tested(tmp_path / "found", "found")
    (tmp_path / "found" / file).write_bytes(content)
    with pytest.raises(InputError) as raised:
        seen(_record({"found": read_test(tmp_path / "found")}))
    assert str(raised.value).startswith(f"{tmp_path / 'found' / file}: {message}")


def test_a_picture_is_a_file_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tested(tmp_path / "found", "found")
    monkeypatch.setattr(kept_tests, "MOST_PIXELS", 100)
    with pytest.raises(InputError, match="not a picture of a test"):
        Picture(tmp_path / "found" / EXAMPLES, "").opened()
    monkeypatch.setattr(kept_tests, "MOST_BYTES", 1 << 10)
    with pytest.raises(InputError, match="more than"):
        read_test(tmp_path / "found")
    (tmp_path / "found" / EXAMPLES).unlink()
    (tmp_path / "found" / EXAMPLES).mkdir()
    with pytest.raises(InputError, match="it is a folder"):
        read_test(tmp_path / "found")


def test_a_picture_that_has_changed_is_another(tmp_path: Path) -> None:
    """So that the report is written anew."""
    before = _tested(tmp_path / "found", "found")
    assert read_test(tmp_path / "found") == before
    draw_examples(
        [Example(_random(3, 9, 9), *[Drawn(_random(3, 9, 9), {})] * 2)], CLASSES, "x", tmp_path / "found" / EXAMPLES
    )
    assert read_test(tmp_path / "found") != before


def test_an_empty_folder_has_no_test(tmp_path: Path) -> None:
    assert read_test(tmp_path) is None
