"""Facts of the unknown token."""

import torch

from scdfm.flow.fine_tune import start_from
from scdfm.model.paper import VelocityField
from scdfm.model.vocabulary import EMPTY, UNKNOWN
from tests.scdfm import small

GENES = torch.arange(small.GENES)
G1, G3 = 1, 3


def field(*, kind: str = "gene", untrained: tuple[int, ...] = (G3,)) -> VelocityField:
    made = small.awake(small.field(kind=kind, token_dropout=0.5))
    trained = torch.ones(made.vocabulary.tokens, dtype=torch.bool)
    trained[list(untrained)] = False
    made.give({"unknown.trained": trained})
    torch.nn.init.normal_(made.unknown.embedding)
    return made


def embedded(made: VelocityField, *rows: list[int]) -> torch.Tensor:
    return made.encode(GENES, torch.tensor(rows))[1]


def test_a_token_never_trained_is_the_unknown_one() -> None:
    made, null = field(), small.vocabulary().null
    untrained, unknown, double, both = embedded(
        made, [G3, null], [UNKNOWN, null], [G1, G3], [G1, UNKNOWN]
    )
    torch.testing.assert_close(untrained, unknown)
    torch.testing.assert_close(double, both)
    assert not torch.equal(untrained, embedded(field(untrained=()), [G3, null])[0])


def test_drugs_have_one_too() -> None:
    made = field(kind="drug", untrained=(2,))
    one, other = embedded(made, [2, 0], [UNKNOWN, 0])
    torch.testing.assert_close(one, other)
    assert not torch.equal(one, embedded(made, [1, 0])[0])


def test_in_training_a_share_of_tokens_is_dropped_but_never_null_or_an_empty_slot() -> None:
    made = field().train()
    torch.manual_seed(0)
    rows = torch.tensor([[G1, G3, made.vocabulary.null, EMPTY]] * 1000)
    hidden = made.unknown.hide(rows) == UNKNOWN
    shares = hidden.float().mean(dim=0).tolist()
    assert shares[2:] == [0, 0]
    assert all(0.45 < share < 0.55 for share in shares[:2])
    assert torch.equal(made.unknown.hide(rows)[:, 2:], rows[:, 2:])


def test_the_unknown_token_learns_where_one_was_dropped() -> None:
    made = field().train()
    made.unknown.rate = 1.0
    embedded(made, [G1, G3]).square().sum().backward()
    assert made.unknown.embedding.grad.norm() > 0


def test_a_token_that_the_first_weights_know_counts_as_trained() -> None:
    made, source = field(untrained=(G1, G3)), field(untrained=(G3,))
    start_from(made, source=source)
    assert made.unknown.trained.tolist() == [True, True, True, False, *[True] * 5]
    assert torch.equal(made.unknown.embedding, source.unknown.embedding)
