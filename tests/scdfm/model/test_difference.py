"""Facts of the difference of maps in pieces: the same numbers as from two whole maps."""

import pytest
import torch
from torch import Tensor

from scdfm.model import attention
from scdfm.model.kernels import difference
from scdfm.model.kernels.difference import map_difference, suits

CELLS, HEADS, GENES, FEATURES = 3, 2, 7, 4
PIECES = {"all at once": 10**6, "map by map": GENES * GENES, "two rows": 2 * GENES}


@pytest.fixture(params=PIECES.values(), ids=PIECES)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference, "PIECE", request.param)


def inputs(*, asked: int = GENES) -> list[Tensor]:
    """Queries and keys of two maps, values, lam."""
    torch.manual_seed(0)
    sizes = (GENES, asked, GENES, asked, asked)
    tensors = [torch.randn(CELLS, HEADS, size, FEATURES, dtype=torch.float64) for size in sizes]
    return [x.requires_grad_() for x in (*tensors, torch.tensor(0.3, dtype=torch.float64))]


def ours(query1: Tensor, key1: Tensor, query2: Tensor, key2: Tensor, *rest: Tensor) -> Tensor:
    values, lam = rest
    return map_difference((query1, query2), (key1, key2), values, lam=lam)


def whole(query1: Tensor, key1: Tensor, query2: Tensor, key2: Tensor, *rest: Tensor) -> Tensor:
    values, lam = rest
    first = (query1 @ key1.mT / FEATURES**0.5).softmax(-1)
    second = (query2 @ key2.mT / FEATURES**0.5).softmax(-1)
    return first @ values - lam * (second @ values)


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("asked", [GENES, 5])
def test_it_equals_two_whole_maps(asked: int) -> None:
    given = inputs(asked=asked)
    torch.testing.assert_close(ours(*given), whole(*given))


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("asked", [GENES, 5])
def test_its_gradients_equal_those_of_two_whole_maps(asked: int) -> None:
    given = inputs(asked=asked)
    slope = torch.randn(CELLS, HEADS, GENES, FEATURES, dtype=torch.float64)
    pair = [torch.autograd.grad(form(*given), given, slope) for form in (ours, whole)]
    torch.testing.assert_close(*pair)


def test_wide_heads_on_cpu_take_this_way(monkeypatch: pytest.MonkeyPatch) -> None:
    wide, narrow = torch.zeros(1, 1, 2, 16), torch.zeros(1, 1, 2, 8)
    assert suits(wide, wide)
    assert not suits(narrow, narrow)
    assert not suits(wide.bfloat16(), wide.bfloat16())
    assert not suits(wide.expand(3, -1, -1, -1), wide)  # values of one cell for all
    monkeypatch.setattr(attention, "map_difference", lambda *_, lam: lam)
    lam = torch.tensor(0.25)
    assert attention.attend_less((wide, wide), (wide, wide), wide, lam=lam) is lam


def test_either_way_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    query1, query2, key1, key2, values = torch.randn(5, CELLS, HEADS, GENES, 32)
    lam = torch.tensor(0.4)
    given = ((query1, query2), (key1, key2), values)
    pieces = attention.attend_less(*given, lam=lam)
    monkeypatch.setattr(attention, "suits", lambda queries, values: False)
    torch.testing.assert_close(attention.attend_less(*given, lam=lam), pieces)


def test_keys_of_other_cells_are_refused() -> None:
    query1, key1, query2, key2, values, lam = inputs()
    with pytest.raises(ValueError, match="same cells, heads and features"):
        map_difference((query1, query2), (key1[:1], key2), values, lam=lam)


def test_inputs_may_be_views_and_no_gradient_need_be_asked_for() -> None:
    given = inputs()
    views = [x.mT.contiguous().mT for x in given[:5]]
    with torch.inference_mode():
        torch.testing.assert_close(ours(*views, given[5]), whole(*given))


def test_a_gradient_of_one_input_alone_is_right() -> None:
    given = [x.detach() for x in inputs()]
    given[1].requires_grad_()
    pair = [torch.autograd.grad(form(*given).sum(), given[1]) for form in (ours, whole)]
    torch.testing.assert_close(*pair)
