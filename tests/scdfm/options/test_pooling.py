"""Facts of a condition's embedding as the sum of its tokens."""

import pytest
import torch

from scdfm.model.config import ModelConfig
from tests.scdfm import small

GENES = torch.arange(small.GENES)


@pytest.mark.parametrize("kind", ["gene", "drug"])
def test_a_double_is_the_sum_of_its_singles_and_null_adds_nothing(kind: str) -> None:
    made = small.field(pooling="sum", kind=kind)
    one, other, *_ = made.vocabulary.perturbations
    asked = torch.tensor(made.vocabulary.table([(one, other), (one,), (other,), ()]))
    _, embedded = made.encode(GENES, asked)
    double, first, second, nothing = embedded
    assert torch.equal(double, first + second)
    assert first.norm() > 0.1
    assert not nothing.any()


def test_a_condition_with_an_empty_slot_is_the_same_sum() -> None:
    made = small.field(pooling="sum")
    _, two = made.encode(GENES, torch.tensor([[1, 3]]))
    _, padded = made.encode(GENES, torch.tensor([[1, 3, -1]]))
    torch.testing.assert_close(two, padded)


def test_the_sum_of_a_double_is_twice_its_mean() -> None:
    asked = torch.tensor([[1, 3]])
    _, total = small.field(pooling="sum").encode(GENES, asked)
    _, mean = small.field().encode(GENES, asked)
    torch.testing.assert_close(total, 2 * mean)


def test_the_authors_network_has_no_sum() -> None:
    with pytest.raises(ValueError, match="has no pooling, got 'sum'; leave it out or use variant"):
        ModelConfig(width=32, variant="release", pooling="sum")
