"""Facts of how far a condition is from what a model was trained on."""

import pytest

from scdfm.screen.conditions import USUAL, Condition
from scdfm.splits import Split
from scdfm.splits.distance import Trained


@pytest.fixture
def trained() -> Trained:
    split = Split(
        kind="list",
        seed=0,
        fold=0,
        train=("A", "B", "C", "A+C", "C+D+E"),
        validation=("B+C",),
        test=("A+B",),
        context="z",
    )
    return Trained(split, USUAL, contexts=("x", "y", "z"))


@pytest.mark.parametrize(
    ("condition", "steps", "why", "nearest"),
    [
        (("A", "C"), 0, "trained", "A+C"),
        (("A", "B"), 1, "new combination", "A"),
        (("B", "C"), 1, "new combination", "B"),  # it validated: the flow never saw it
        (("D",), 1, "never alone", "C+D+E"),
        (("N",), 2, "1 new perturbation", ""),
        (("A", "N"), 2, "1 new perturbation", "A"),
        (("A", "C", "N"), 2, "1 new perturbation", "A+C"),
        (("M", "N"), 3, "2 new perturbations", ""),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else None,
)
def test_the_distance_counts_what_is_new(
    trained: Trained, condition: Condition, steps: int, why: str, nearest: str
) -> None:
    assert trained.distance(condition, context="x") == (steps, why, nearest)


@pytest.mark.parametrize("context", ["z", "never heard of"])
def test_a_context_without_training_cells_is_one_more(trained: Trained, context: str) -> None:
    assert trained.distance(("A",), context=context)[:2] == (1, "new context")
    far = trained.distance(("A", "N"), context=context)
    assert far[:2] == (3, "1 new perturbation, new context")


def test_unseen_tokens_are_those_that_no_training_cell_had(trained: Trained) -> None:
    assert trained.unseen([("A", "N"), ("M",), ("D", "E")]) == ("M", "N")
