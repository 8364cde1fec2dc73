"""The step of a training on labels: parts of a batch, memory, mixing; and evaluation in parts."""

import copy

import pytest
import torch
from torch import Tensor, nn

from foundation.errors import InputError
from tasks.classification.room import CLASSIFICATION
from training.augmentation.mixing import Mixing
from training.methods.label_step import LabelStep
from training.recipe import Recipe


class TestLabelStep:
    def test_a_compiler_that_does_not_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from torch._dynamo.exc import TorchDynamoException

        def fails(images: Tensor) -> Tensor:
            raise TorchDynamoException("\nno working C++ compiler\n\nset TORCHDYNAMO_VERBOSE=1")

        monkeypatch.setattr("torch.compile", lambda network: fails)
        step = LabelStep(nn.Flatten(), 4, Recipe(compile=True), CLASSIFICATION, 48)
        message = r"^`compile` yes: torch's compiler cannot be used here \(no working C\+\+ compiler\); leave it out$"
        with pytest.raises(InputError, match=message):
            step(torch.randn(2, 3, 4, 4), torch.tensor([0, 1]), 0)

    @pytest.mark.parametrize("micro_batch", [2, 3, 5, 16])
    def test_parts_add_up_to_the_whole(self, micro_batch: int) -> None:
        images, labels = torch.randn(11, 3, 4, 4), torch.randint(5, (11,))
        gradients = []
        for size in (0, micro_batch):
            torch.manual_seed(1)
            network = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
            loss = LabelStep(network, 4, Recipe(micro_batch=size), CLASSIFICATION, 5)(images, labels, 0)
            gradients.append((loss, [p.grad for p in network.parameters()]))
        (whole, whole_gradients), (parts, part_gradients) = gradients
        assert parts == pytest.approx(whole, rel=1e-5)
        for one, two in zip(whole_gradients, part_gradients, strict=True):
            torch.testing.assert_close(one, two)

    def test_out_of_memory_names_what_would_fit(self) -> None:
        network = _Hungry(limit=5)
        step = LabelStep(network, 4, Recipe(), CLASSIFICATION, 3)
        with pytest.raises(InputError, match="4 would fit: give `micro_batch` auto, or `micro_batch` 4"):
            step(torch.randn(32, 3, 4, 4), torch.zeros(32, dtype=torch.int64), 0)
        assert all(parameter.grad is None for parameter in network.parameters())

    def test_out_of_memory_goes_on_if_told_to(self) -> None:
        images, labels = torch.randn(32, 3, 4, 4), torch.randint(3, (32,))
        said: list[str] = []
        network = _Hungry(limit=9)
        step = LabelStep(network, 4, Recipe(), CLASSIFICATION, 3, adapt=True, say=said.append)
        loss = step(images, labels, 0)
        plain = copy.deepcopy(network)
        plain.zero_grad()
        plain.limit = 100
        assert loss == pytest.approx(LabelStep(plain, 4, Recipe(), CLASSIFICATION, 3)(images, labels, 0), rel=1e-5)
        torch.testing.assert_close(network.linear.weight.grad, plain.linear.weight.grad)
        step(images, labels, 1)
        assert said == ["out of memory with 32 pictures at a time; going on with 8, gradients added up"]

    def test_nothing_fits(self) -> None:
        step = LabelStep(_Hungry(limit=1), 4, Recipe(), CLASSIFICATION, 3, adapt=True)
        with pytest.raises(InputError, match="out of memory with two pictures of 4 pixels"):
            step(torch.randn(8, 3, 4, 4), torch.zeros(8, dtype=torch.int64), 0)

    def test_other_errors_are_not_about_memory(self) -> None:
        with pytest.raises(RuntimeError, match="shapes"):
            LabelStep(nn.Linear(2, 3), 4, Recipe(), CLASSIFICATION, 3)(
                torch.randn(8, 3, 4, 4), torch.zeros(8, dtype=torch.int64), 0
            )

    def test_a_teacher_alone_gives_its_divergence(self) -> None:
        images, labels = torch.randn(8, 3, 4, 4), torch.randint(5, (8,))
        network = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
        teacher = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
        recipe = Recipe(distillation=1.0, temperature=3.0)
        loss = LabelStep(network, 4, recipe, CLASSIFICATION, 5, teacher=teacher)(images, labels, 0)
        p, q = (teacher(images) / 3).softmax(1), (network(images) / 3).softmax(1)
        assert loss == pytest.approx(float((9 * (p * (p.log() - q.log())).sum(1).mean()).detach()), rel=1e-4)
        assert all(parameter.grad is None for parameter in teacher.parameters())
        assert LabelStep(teacher, 4, recipe, CLASSIFICATION, 5, teacher=teacher)(images, labels, 0) == pytest.approx(
            0.0, abs=1e-6
        )

    def test_bfloat16_and_the_compiler_train_as_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compiled: list[nn.Module] = []

        def compiler(network: nn.Module) -> nn.Module:
            compiled.append(network)
            return network

        monkeypatch.setattr("torch.compile", compiler)
        images, labels = torch.randn(8, 3, 4, 4), torch.randint(5, (8,))
        network = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
        full = LabelStep(network, 4, Recipe(), CLASSIFICATION, 5)(images, labels, 0)
        assert not compiled
        half = LabelStep(network, 4, Recipe(precision="bfloat16", compile=True), CLASSIFICATION, 5)(images, labels, 0)
        assert compiled == [network]
        assert half == pytest.approx(full, rel=0.02)
        assert half != full


class _Hungry(nn.Module):
    """Has memory for `limit` pictures."""

    def __init__(self, limit: int):
        super().__init__()
        self.limit = limit
        self.linear = nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        out: Tensor = self.linear(x.flatten(1))
        return out


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.2, 0.0), (0.0, 1.0), (0.2, 1.0)])
def test_mixing_keeps_shares(mixup: float, cutmix: float) -> None:
    mixing = Mixing(mixup, cutmix, 7)
    images, labels = torch.randn(6, 3, 8, 8), torch.arange(6)
    mixed, shares = mixing(images, labels)
    assert mixed.shape == images.shape
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(shares.sum(1), torch.ones(6))
    assert bool((shares[torch.arange(6), labels] > 0).all())
    if cutmix and not mixup:  # every pixel is some picture's
        assert set(mixed.flatten().tolist()) <= set(images.flatten().tolist())


def test_nothing_to_mix() -> None:
    images, labels = torch.randn(6, 3, 8, 8), torch.arange(6)
    mixed, same = Mixing(0.0, 0.0, 7)(images, labels)
    assert mixed is images
    assert same is labels


def test_evaluation_halves_what_does_not_fit() -> None:
    from training.evaluation import evaluate

    images, labels = torch.randn(30, 3, 4, 4), torch.randint(3, (30,))
    network = _Hungry(limit=7)
    parts = evaluate(CLASSIFICATION, network, [(images, labels)])
    network.limit = 100
    whole = evaluate(CLASSIFICATION, network, [(images, labels)])
    assert parts.numbers() == pytest.approx(whole.numbers())
    network.limit = 0
    with pytest.raises(torch.OutOfMemoryError):
        evaluate(CLASSIFICATION, network, [(images, labels)])
