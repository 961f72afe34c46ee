"""A base is never fitted again: it predicts by the rule that it was fitted by, or is refused."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from scdfm.flow.baseline import LINEAR, SHRUNKEN, FittedBaseline, FittedShrunken, NoSettings
from scdfm.flow.checkpoint import read_base
from scdfm.flow.files import BASE
from scdfm.metrics.shrunken import RULE, Base, RuleError, fit
from scdfm.model.vocabulary import Vocabulary
from tests.scdfm.baselines.test_genes_apart import NAMES, TOKENS, screen

ASKED = ["x"] * 2, [("A", "B"), ("G", "new")]


def built(*, kind: str = "gene") -> FittedShrunken:
    vocabulary = Vocabulary(NAMES, TOKENS, kind)  # type: ignore[arg-type]
    network = SHRUNKEN.build(NoSettings(), vocabulary=vocabulary, graph=None)
    assert isinstance(network, FittedShrunken)
    return network


def learnt(*, kind: str = "gene") -> FittedShrunken:
    network = built(kind=kind)
    SHRUNKEN.fit(network, screen(seed=4)[0], settings=NoSettings())
    return network


def test_a_shrunken_model_of_another_rule_predicts_what_it_did_when_it_was_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = learnt().state_dict()
    state["base_effects"] = 2 * state["base_effects"]  # as a former rule might have found them
    state["base_rule"] = torch.zeros_like(state["base_rule"])
    loaded = built()
    loaded.load_state_dict(state)
    former = {k.removeprefix("base_"): v.numpy() for k, v in state.items() if k[:5] == "base_"}
    expected = Base.from_arrays(former)
    np.testing.assert_array_equal(loaded.delta(*ASKED).delta, expected.delta(*ASKED).delta)
    assert not np.allclose(loaded.delta(*ASKED).delta, learnt().delta(*ASKED).delta)
    assert loaded.state_dict()["base_rule"].tolist() == [0]  # also where it is saved again
    assert "older" in expected.facts()["rule"]
    assert not caplog.records


def test_a_shrunken_model_that_kept_no_base_says_that_it_is_fitted_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = learnt()
    older = {name: one for name, one in now.state_dict().items() if not name.startswith("base_")}
    loaded = built()
    with caplog.at_level(logging.WARNING):
        loaded.load_state_dict(older)
    [said] = caplog.messages
    assert "may predict other values" in said
    np.testing.assert_array_equal(loaded.delta(*ASKED).delta, now.delta(*ASKED).delta)


def test_a_base_of_a_newer_rule_is_refused(tmp_path: Path) -> None:
    arrays = {**fit(screen(seed=4)[0]).arrays(), "rule": np.array([RULE + 1])}
    with pytest.raises(RuleError):
        Base.from_arrays(arrays)
    save_file(arrays, tmp_path / BASE)
    with pytest.raises(ValueError, match=f"fitted by rule {RULE + 1}, .* the version of scdfm"):
        read_base(tmp_path)


def test_a_drug_that_is_spelt_like_a_gene_changes_no_gene_whole() -> None:
    genes, drugs = (learnt(kind=kind).state_dict()["base_own"] for kind in ("gene", "drug"))
    assert genes.numel() > 0
    # `learn` was given names of genes; the base is that of what the network keeps.
    assert drugs.numel() == 0


def test_a_linear_model_reads_drugs_spelt_like_genes_as_it_did_when_it_was_made() -> None:
    def linear(*, kind: str) -> FittedBaseline:
        vocabulary = Vocabulary(NAMES, TOKENS, kind)  # type: ignore[arg-type]
        network = LINEAR.build(NoSettings(), vocabulary=vocabulary, graph=None)
        LINEAR.fit(network, screen(seed=4)[0], settings=NoSettings())
        return network

    state = linear(kind="drug").state_dict()
    marked, older, again = linear(kind="drug"), linear(kind="drug"), linear(kind="drug")
    marked.load_state_dict(state)
    assert marked.delta(*ASKED).incomplete.all()
    older.load_state_dict({k: v for k, v in state.items() if k != "tokens_are_genes"})
    again.load_state_dict(older.state_dict())  # as it is saved again
    genes = linear(kind="gene").delta(*ASKED)
    for one in (older, again):
        np.testing.assert_array_equal(one.delta(*ASKED).delta, genes.delta)
    assert not np.allclose(marked.delta(*ASKED).delta, genes.delta)
