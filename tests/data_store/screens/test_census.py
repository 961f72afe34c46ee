"""Conditions of three and more tokens are counted as what they are."""

from pathlib import Path

import pytest

from data_store.store.summary import summarise
from scdfm.screen.census import sizes, spelled
from scdfm.splits import SplitConfig, make_split
from tests.data_store.screens.said import said


def test_triples_and_more_are_named() -> None:
    assert sizes([(), ("A",), ("A", "B", "C"), ("B",)]) == {1: 2, 3: 1}
    assert spelled({1: 6, 2: 5}) == "6 singles, 5 doubles"
    assert spelled({1: 2, 3: 1, 4: 7}) == "2 singles, 0 doubles, 1 triple, 7 of 4 tokens"


def test_a_summary_and_a_split_count_triples(tmp_path: Path) -> None:
    store, _ = said(["ctrl", "A", "B+A", "C+A+B"], tmp_path / "s")
    with store:
        assert summarise(store)["by_tokens"] == {1: 1, 2: 1, 3: 1}
        config = SplitConfig(kind="list", test=("A", "A+B", "A+B+C"))
        units = {unit.condition: [unit.context] for unit in store.units if unit.tokens}
        with pytest.raises(ValueError, match="1 single, 1 double, 1 triple, 1 context"):
            make_split(config, conditions=store.conditions, words=store.words, contexts=units)
