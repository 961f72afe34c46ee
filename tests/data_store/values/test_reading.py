"""What a file holds is told by its structure; each message names options that then work."""

import re

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

from data_store.sources.notes import kept_notes
from tests.data_store.cells import logged
from tests.data_store.values.screens import (
    Change,
    corrected,
    counted,
    few_genes,
    log2_per_million,
    not_logged,
    per_10k,
    per_million,
    scaled,
    taken,
    to_median,
    unnormalised,
    with_layer,
    with_raw,
    with_x,
)


def refusal(cells: anndata.AnnData, **options: object) -> str:
    with pytest.raises(ValueError, match=r"^expected") as caught:
        taken(cells, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def ways(message: str) -> list[dict[str, object]]:
    """The options of each way out that a message names."""
    result = []
    for way in message.partition("; ")[2].split(", or "):
        found: dict[str, object] = dict.fromkeys(re.findall(r"--(normalised|round)", way), True)
        if layer := re.search(r"--layer (\S+)", way):
            found["layer"] = layer[1]
        result.append(found)
    return [one for one in result if one]


UNDECIDED: dict[str, tuple[Change, str, list[dict[str, object]]]] = {
    "to the median": (to_median, "log1p values of [0-9]+ a cell", [{"normalised": True}]),
    "per million": (per_million, "1,000,000 .counts per million. a cell", [{"normalised": True}]),
    "log2": (log2_per_million, r"log2.1 \+ x. values of 1,000,000", [{"normalised": True}]),
    "not logged": (not_logged, "no logs, of 10,000", [{"normalised": True}]),
    "genes left out": (few_genes(per_10k), "genes left out", [{"normalised": True}]),
    "corrected": (corrected, "fractions such as", [{"round": True}]),
    "scaled, counts in raw": (with_raw(scaled), "scaled values or residuals", [{"layer": "raw"}]),
    "scaled, logs in raw": (
        with_raw(scaled, per_10k),
        "scaled .* raw/X holds log1p values of 10,000",
        [{"layer": "raw", "normalised": True}],
    ),
    "logs, counts in raw": (
        with_raw(per_10k), "counts are in raw/X", [{"layer": "raw"}, {"normalised": True}],
    ),
    "few genes, counts in raw": (
        with_raw(few_genes(per_10k)), "counts are in raw/X",
        [{"layer": "raw"}, {"normalised": True}],
    ),
    "logs, counts in a layer": (
        with_layer(per_million, "umi"), "counts are in layers.'umi'.",
        [{"layer": "umi"}, {"normalised": True}],
    ),
    "corrected, counts in a layer": (
        with_layer(corrected, "before"), "counts are in layers.'before'.",
        [{"layer": "before"}, {"round": True}],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said", "options"), UNDECIDED.values(), ids=UNDECIDED.keys())
def test_what_is_undecided_is_refused_and_every_option_that_is_named_works(
    change: Change, said: str, options: list[dict[str, object]]
) -> None:
    cells = change(counted())
    message = refusal(cells)
    assert re.search(said, message), message
    assert ways(message) == options
    for way in options:
        found, values = taken(cells, **way)
        assert values.shape[0] == cells.n_obs
        assert found.normalised == ("normalised" in way)


@pytest.mark.parametrize("change", [to_median, per_million, log2_per_million, not_logged])
@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_matrix.toarray])
def test_another_depth_becomes_exactly_what_10_000_would_have_been(
    change: Change, form: type
) -> None:
    cells = change(counted())
    cells.X = form(cells.X)
    found, values = taken(cells, normalised=True)
    assert found.depth is not None
    np.testing.assert_allclose(values.toarray(), logged(counted()).X.toarray(), rtol=2e-5)


def test_log1p_per_10k_is_kept_as_it_is_without_an_option() -> None:
    for change in (per_10k, lambda cells: with_layer(per_10k, "spliced")(cells)):
        cells = change(counted())
        found, values = taken(cells)
        assert found.normalised
        assert found.depth is None
        assert (values != cells.X).nnz == 0


def test_a_layer_that_nan_keeps_from_being_counts_is_named() -> None:
    cells = per_10k(counted())
    counts = counted().X.toarray()
    counts[5, 5] = np.nan
    cells.layers["counts"] = sp.csr_matrix(counts)
    with kept_notes() as said:
        assert taken(cells)[0].normalised
    assert any("no matrix holds counts (layers['counts'] holds NaN);" in line for line in said)


def test_rare_genes_that_were_left_out_do_not_hide_the_depth() -> None:
    for depth in (1e4, 1e6):
        cells = logged(counted(), depth=depth)
        rare = np.asarray(counted().X.sum(axis=0)).ravel() < 12
        assert rare.sum() > 10
        found, _ = taken(cells[:, ~rare].copy(), normalised=True)
        assert found.values.depth == depth


def test_counts_may_be_floats_that_arithmetic_has_touched() -> None:
    touched = with_x(counted(), lambda x: np.expm1(np.log1p(x.astype(np.float32))))
    assert not np.array_equal(touched.X.data, np.rint(touched.X.data))
    for cells in (touched, counted()):
        found, values = taken(cells)
        assert not found.normalised
        assert values.dtype == np.uint16
        assert (values != counted().X).nnz == 0


def test_counts_of_raw_come_with_the_genes_of_raw() -> None:
    cells = with_raw(few_genes(per_10k))(counted())
    assert cells.n_vars < counted().n_vars
    _, values = taken(cells, layer="raw")
    assert (values != counted().X).nnz == 0
    cells.layers["raw"] = cells.X
    assert taken(cells, layer="raw", normalised=True)[1].shape == cells.shape
    assert (taken(cells, layer="raw/X")[1] != counted().X).nnz == 0


def test_rounding_is_of_corrected_counts_alone() -> None:
    cells = corrected(counted())
    _, values = taken(cells, round=True)
    np.testing.assert_array_equal(values.toarray(), np.rint(cells.X.toarray()))
    assert (taken(counted(), round=True)[1] != counted().X).nnz == 0
    for change in (per_10k, to_median, not_logged, few_genes(per_10k), scaled, unnormalised):
        assert "corrected counts for --round" in refusal(change(counted()), round=True)
    with pytest.raises(ValueError, match="--normalised or --round, got both"):
        taken(cells, round=True, normalised=True)


def test_what_cannot_be_logs_is_refused_as_logs() -> None:
    refused = {
        "whole numbers, which are counts; leave out --normalised": counted(),
        "scaled values": scaled(counted()),
        "counts that were not normalised; store numpy.expm1": unnormalised(counted()),
        "no logs, of .* no matrix holds counts": few_genes(not_logged)(counted()),
        "log2.*no matrix holds counts": few_genes(log2_per_million)(counted()),
        "log1p values of .*several depths": few_genes(per_million)(counted()),
        "fractions such as": corrected(counted(deep=20)),
    }
    for said, cells in refused.items():
        assert re.search(said, refusal(cells, normalised=True)), said


def test_counts_in_some_cells_and_other_values_in_others_are_not_rounded() -> None:
    for change in (per_10k, not_logged, corrected):
        parts = [counted(), change(counted())]
        mixed = anndata.concat(parts, index_unique="-")
        for options in ({}, {"round": True}, {"normalised": True}):
            message = refusal(mixed, **options)
            assert "counts in some cells and fractions" in message
            assert "write cells of each kind to a file of their own" in message
        assert [taken(part, **way)[0].normalised for part, way in zip(
            parts, ({}, {"round": True} if change is corrected else {"normalised": True}),
            strict=True,
        )] == [False, change is not corrected]  # fmt: skip


def test_a_file_without_x_is_told_where_its_counts_are() -> None:
    cells = with_raw(per_10k)(counted())
    cells.X = None
    message = refusal(cells)
    assert "expected a matrix X in AnnData in memory, got none; counts are in raw/X" in message
    [way] = ways(message)
    assert (taken(cells, **way)[1] != counted().X).nnz == 0


def test_expm1_of_logs_of_plain_counts_are_counts() -> None:
    cells = unnormalised(counted())
    assert "store numpy.expm1 of them, which are counts" in refusal(cells)
    assert (taken(with_x(cells, np.expm1))[1] != counted().X).nnz == 0


def test_counts_beside_log_values_are_said_where_log_values_are_asked() -> None:
    with kept_notes() as said:
        taken(with_raw(per_10k)(counted()), normalised=True)
    assert "raw/X holds counts; --layer raw takes them instead" in said


def test_logs_of_few_genes_that_make_no_sense_per_10k_are_doubted() -> None:
    cells = counted(deep=4)
    some = np.argsort(np.abs(np.asarray(cells.X.mean(axis=0)).ravel() - 0.8))[:12]
    for change, doubted in ((per_million, True), (per_10k, False)):
        with kept_notes() as said:
            taken(change(cells)[:, some].copy(), normalised=True)
        assert any("counts of all genes, which are few" in line for line in said) == doubted


def test_a_cell_of_another_depth_is_an_error_that_names_it() -> None:
    found, _ = taken(per_10k(counted()))
    block = sp.vstack([per_10k(counted()).X, per_million(counted()).X[:1]], format="csr")
    with pytest.raises(
        ValueError, match=r"add up to 10,000 before .* got one .*1,000,000 in later"
    ):
        found.taken(block, where="later cells")
