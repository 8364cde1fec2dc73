"""IMPALA's encoder: its size, its value, and that it stands beside a found network at equal MACs."""

import pytest
import torch

from foundation.errors import InputError
from search_space.architecture import Architecture
from search_space.cost.cost import measure, measured_apart
from search_space.families.impala.architecture import ImpalaArchitecture
from search_space.families.impala.equal import PUBLISHED, impala, of_macs
from search_space.head import ClassifierHead
from search_space.network import build
from tasks.control.head import PolicyHead
from tasks.segmentation.heads import ConvHead

PROCGEN = PolicyHead(15)


def test_its_size_is_the_published_one() -> None:
    encoder, head = measured_apart(PUBLISHED, PROCGEN)
    assert (encoder.params, encoder.params + head.params) == (622_144, 626_256)
    assert encoder.macs == pytest.approx(30.6e6, rel=1e-3)
    assert sum(parameter.numel() for parameter in build(PUBLISHED, PROCGEN).parameters()) == 626_256
    twice, _ = measured_apart(impala(2), PROCGEN)
    assert twice.params == 1_437_568
    assert twice.macs == pytest.approx(117.8e6, rel=1e-3)


@pytest.mark.parametrize("macs", [300_000, 400_000, 1_200_000])
def test_it_has_the_macs_that_are_asked_for(macs: int) -> None:
    found = of_macs(macs, 32, PolicyHead(4))
    assert measure(found, PolicyHead(4)).macs == pytest.approx(macs, rel=0.01)
    assert found.resolution == 32


def test_fewer_macs_than_it_can_have_are_refused() -> None:
    with pytest.raises(InputError, match="`compare`: IMPALA's encoder at 100 MACs"):
        of_macs(100, 32, PolicyHead(4))


def test_it_is_read_back_and_refuses_what_is_none() -> None:
    small = impala(0.25, 1, 32)
    assert Architecture.from_json(small.to_json()) == small
    for wrong in ({"widths": []}, {"widths": [0]}, {"features": 0}, {"widths": [1] * 9}):
        with pytest.raises(InputError):
            Architecture.from_dict({**small.to_dict(), **wrong})
    with pytest.raises(InputError, match="no map for such a head"):
        build(small, ConvHead(3))


def test_its_maps_have_the_sizes_that_it_says() -> None:
    small = ImpalaArchitecture(20, (2, 3), 8)
    network = build(small, ClassifierHead(5)).eval()
    images = torch.rand(2, 3, 20, 20)
    assert network(images).shape == (2, 5)
    maps = network.features(images)
    assert [tuple(one.shape[1:]) for one in maps] == [(2, 10, 10), (3, 5, 5)]
    assert [(one.channels, one.stride) for one in network.info] == [(2, 2), (3, 4)]
    assert len(small.rows()) == 3
