"""Which names a model knows, and under which number."""

import pytest

from scdfm.model.vocabulary import Vocabulary


def test_a_measured_gene_shares_its_row_with_its_perturbation() -> None:
    words = Vocabulary(genes=("A", "B"), perturbations=("B", "X"))
    assert words.ids(("B",)) == [1, words.null]
    assert words.unmeasured == ("X",)
    assert words.ids(("B", "X")) == [1, 3]
    assert words.gene_tokens == 4


def test_drugs_have_a_table_of_their_own() -> None:
    words = Vocabulary(genes=("A", "B"), perturbations=("aspirin",), kind="drug")
    assert words.null == 0
    assert words.ids(("aspirin",)) == [1, 0]
    assert words.gene_tokens == 3


def test_longer_conditions_make_wider_tables() -> None:
    words = Vocabulary(genes=("A", "B", "C"), perturbations=("A", "B", "C"))
    assert words.table([("A",), ("A", "B", "C")]) == [[0, 3, -1], [0, 1, 2]]


def test_an_unknown_token_is_refused_with_the_nearest() -> None:
    words = Vocabulary(genes=("KLF1",), perturbations=("KLF1", "MAPK1"))
    with pytest.raises(ValueError, match="'KLF2' is not one; did you mean 'KLF1'"):
        words.ids(("KLF2",))


def test_a_measured_gene_that_was_never_perturbed_may_be_asked_for() -> None:
    words = Vocabulary(genes=("KLF1", "GAPDH"), perturbations=("KLF1",))
    assert words.ids(("GAPDH",)) == [1, words.null]


def test_a_drug_that_was_never_in_the_screen_is_unknown() -> None:
    words = Vocabulary(genes=("KLF1",), perturbations=("aspirin",), kind="drug")
    with pytest.raises(ValueError, match="knows 1 drugs and 'KLF1' is not one"):
        words.ids(("KLF1",))
