"""CIFS: gates by their closed forms against gradients, the golden facts of the paper, and trainings of probes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foundation.errors import InputError
from search_space import attention as attention_ops
from search_space.architecture import Attention
from search_space.attention.probes import FeatureSelection, NonlinearFeatureSelection, Probed, asked, probes
from search_space.cost.priced_space import PricedSpace
from search_space.head import FeaturesHead
from search_space.network import Network, build
from search_space.parts import AttentionPart
from search_space.pretrained import transfer
from search_space.spaces import named_space
from training.probe_loss import learning, with_probes

CLASSES, CHANNELS = 10, 24
KINDS = ("cifs", "cifs_mlp")


def _op(kind: str, channels: int = CHANNELS) -> Probed:
    op = attention_ops.create(Attention(kind), channels, nn.ReLU, CLASSES)
    assert isinstance(op, Probed)
    with torch.no_grad():
        for parameter in op.parameters():
            parameter.normal_()
    return op


def _logits(op: Probed, pooled: Tensor) -> Tensor:
    """What the probe makes of means over maps, N×C, written out once more."""
    if isinstance(op, FeatureSelection):
        return pooled @ op.linear.weight.t() + op.linear.bias
    assert isinstance(op, NonlinearFeatureSelection)
    softplus = nn.Softplus(beta=5)
    found: Tensor = op.second(softplus(op.first(pooled)))
    return found


def _by_gradient(op: Probed, z: Tensor, labels: Tensor | None) -> Tensor:
    """softmax over channels of the gradient of two logits by the map, averaged over pixels, times their number."""
    z = z.detach().requires_grad_()
    logits = _logits(op, z.mean((2, 3)))
    first, second = logits.topk(2).indices.t()
    pair = (first if labels is None else labels, second)
    (gradient,) = torch.autograd.grad(sum(logits.gather(1, one[:, None]).sum() for one in pair), z)
    relevance = gradient.mean((2, 3)) * z.shape[2] * z.shape[3]
    return relevance.softmax(1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labelled", [False, True])
def test_the_closed_form_is_the_gradient(kind: str, labelled: bool) -> None:
    op, z = _op(kind), torch.randn(6, CHANNELS, 5, 3)
    labels = torch.tensor([0, 3, 9, 9, 1, 4]) if labelled else None
    with asked(labels) as logits:
        gated = op(z)
    expected = z * CHANNELS * _by_gradient(op, z, labels)[:, :, None, None]
    torch.testing.assert_close(gated, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits[0], _logits(op, z.mean((2, 3))))


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_class_that_is_the_label_counts_twice(kind: str) -> None:
    op, z = _op(kind), torch.randn(1, CHANNELS, 2, 2)
    second = _logits(op, z.mean((2, 3))).topk(2).indices[:, 1]
    with asked(second):
        gated = op(z)
    pooled = z.mean((2, 3)).requires_grad_()
    (gradient,) = torch.autograd.grad(2 * _logits(op, pooled)[0, second], pooled)
    torch.testing.assert_close(gated, z * CHANNELS * gradient.softmax(1)[:, :, None, None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gates_are_above_0_of_mean_1_and_commute_with_what_moves_pixels(kind: str) -> None:
    op, z = _op(kind), torch.randn(4, CHANNELS, 6, 6)
    gates = (op(z) / z)[:, :, 0, 0]
    assert (gates > 0).all()
    torch.testing.assert_close(gates.mean(1), torch.ones(4))
    for moved in (lambda x: x.flip(3), lambda x: x.roll(2, 2), lambda x: x.transpose(2, 3)):
        torch.testing.assert_close(op(moved(z)), moved(op(z)))


@pytest.mark.parametrize("kind", KINDS)
def test_with_weights_of_0_it_changes_nothing(kind: str) -> None:
    op, z = _op(kind), torch.randn(2, CHANNELS, 3, 3)
    with torch.no_grad():
        for parameter in op.parameters():
            parameter.zero_()
    assert torch.equal(op(z), z)  # 1/C of it in the paper, which is multiplied by C here


def test_a_linear_probes_gate_depends_on_the_pair_alone() -> None:
    op, z = _op("cifs"), torch.randn(400, CHANNELS, 2, 2)
    gates = (op(z) / z)[:, :, 0, 0]
    pairs = [tuple(sorted(pair)) for pair in _logits(op, z.mean((2, 3))).topk(2).indices.tolist()]
    by_pair: dict[tuple[int, ...], Tensor] = {}
    for pair, gate in zip(pairs, gates, strict=True):
        torch.testing.assert_close(by_pair.setdefault(pair, gate), gate, rtol=1e-3, atol=1e-5)
    assert 5 < len(by_pair) < 45


@pytest.mark.parametrize(("kind", "expected"), [("cifs", 5_130), ("cifs_mlp", 66_954)])
def test_parameters_of_the_papers_probes(kind: str, expected: int) -> None:
    assert sum(parameter.numel() for parameter in _op(kind, 512).parameters()) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_gate_gives_the_map_no_gradient_unless_it_is_told_to(kind: str) -> None:
    op, z = _op(kind), torch.randn(3, CHANNELS, 4, 4, requires_grad=True)
    weight = torch.randn_like(z)
    for detached in (True, False):
        with asked(detached=detached):
            (gradient,) = torch.autograd.grad((op(z) * weight).sum(), z)
        as_if_constant = weight * (op(z) / z).detach()
        same = torch.allclose(gradient, as_if_constant, atol=1e-5)
        assert same == (detached or kind == "cifs")  # whose gate depends on the map by a choice alone
    gradients = torch.autograd.grad((op(z) * weight).sum(), list(op.parameters()), allow_unused=True)
    assert sum(one is not None and bool(one.abs().sum() > 0) for one in gradients) >= 1


@pytest.mark.parametrize("kind", ["probe", *KINDS])
def test_a_probe_of_other_classes_is_not_carried_over(kind: str) -> None:
    source, same, other = _network(kind), _network(kind), _network(kind, 4)
    assert not any("attention" in place for place in transfer(source, same).notes)
    for one, copied in zip(probes(source), probes(same), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), copied.parameters(), strict=True))
    report = transfer(source, other)
    notes = [note for place, note in report.notes.items() if place.endswith("attention")]
    assert notes == ["a probe of other classes in the source; starts constant"] * len(probes(other))
    assert not report.preserved
    first = probes(other)[0]
    z = torch.randn(2, next(iter(first.parameters())).shape[1], 3, 3)
    assert torch.equal(first(z), z)


def test_one_class_has_a_pair_too() -> None:
    op = attention_ops.create(Attention("cifs"), 4, nn.ReLU, 1)
    assert op(torch.randn(2, 4, 3, 3)).isfinite().all()


def test_labels_are_forgotten_and_logits_not_kept() -> None:
    op, z = _op("cifs"), torch.randn(2, CHANNELS, 3, 3)
    before = op(z)

    def broken() -> None:
        with asked(torch.tensor([5, 6])):
            op(z)
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert torch.equal(op(z), before)
    with asked() as outer:
        with asked(torch.tensor([5, 6])) as inner:
            op(z)
        assert torch.equal(op(z), before)
    assert (len(outer), len(inner)) == (1, 1)


def test_threads_ask_by_themselves() -> None:
    op, z = _op("cifs"), torch.randn(2, CHANNELS, 3, 3)
    with asked(torch.tensor([5, 6])) as logits, ThreadPoolExecutor(1) as other:
        found = other.submit(op, z).result()
    assert torch.equal(found, op(z))
    assert not logits


def _network(kind: str, classes: int = CLASSES) -> Network:
    """One of `mobile-32` in which every block has the op."""
    architecture = PricedSpace(named_space("mobile-32"), CLASSES).smallest
    stages = tuple(
        type(stage)(**{**vars(stage), "attention": (Attention(kind),) * stage.depth}) for stage in architecture.stages
    )
    return build(type(architecture)(**{**vars(architecture), "stages": stages}), classes)


@pytest.mark.parametrize("kind", ["probe", *KINDS])
def test_a_networks_loss_has_that_of_its_probes(kind: str) -> None:
    network, images = _network(kind), torch.randn(8, 3, 32, 32)
    labels = torch.arange(8) % CLASSES
    with learning(network, labels) as added:
        outputs = network(images)
    with asked(labels) as logits:
        again = network(images)
    assert len(logits) == len(probes(network)) >= 3
    own, of_probes = F.cross_entropy(outputs, labels), [F.cross_entropy(one, labels) for one in logits]
    torch.testing.assert_close(added(own), own + 2 / len(logits) * sum(of_probes), rtol=1e-3, atol=1e-4)
    for weight in (0.0, 10.0):
        expected = 3 / (weight + 1) * (F.cross_entropy(again, labels) + weight / len(logits) * sum(of_probes))
        torch.testing.assert_close(with_probes(F.cross_entropy(again, labels), logits, labels, weight), expected)
    added(own).backward()
    for probe in probes(network):
        assert all(parameter.grad is not None for parameter in probe.parameters())


def test_shares_of_classes_are_learnt_by_probes_too() -> None:
    network, images = _network("cifs"), torch.randn(4, 3, 32, 32)
    shares = torch.tensor([[0.3, 0.7] + [0.0] * 8] * 4)
    with learning(network, shares) as added:
        outputs = network(images)
    assert added(F.cross_entropy(outputs, shares)).isfinite()


def test_a_network_without_probes_is_left_alone() -> None:
    network = _network("none")
    with learning(network, torch.tensor([0])) as added:
        pass
    loss = torch.tensor(1.5)
    assert added(loss) is loss


def test_what_tells_no_classes_can_have_no_probe() -> None:
    message = r"attention 'cifs': has a probe of classes, which this network does not tell"
    with pytest.raises(InputError, match=message):
        AttentionPart(Attention("cifs"), 8, "relu").create()
    architecture = PricedSpace(named_space("mobile-32"), CLASSES).smallest
    first = architecture.stages[0]
    stages = (type(first)(**{**vars(first), "attention": (Attention("cifs"),) * first.depth}), *architecture.stages[1:])
    with pytest.raises(InputError, match=rf"stages\.0\.0: {message}"):
        build(type(architecture)(**{**vars(architecture), "stages": stages}), FeaturesHead())


@pytest.mark.parametrize("kind", attention_ops.kinds())
def test_a_table_of_latencies_tells_ops_of_other_classes_apart(kind: str) -> None:
    attention = Attention(kind, 4 if attention_ops.takes_reduction(kind) else None)
    few, many = (AttentionPart(attention, CHANNELS, "relu6", classes) for classes in (2, 1000))
    shapes = [[parameter.shape for parameter in part.create().parameters()] for part in (few, many)]
    assert (few.label == many.label) == (shapes[0] == shapes[1])
