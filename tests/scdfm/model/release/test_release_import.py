"""Facts of the release's tokens, masks and graph, and of their way into ours."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdfm.gene_graph.graph import GeneGraph
from scdfm.model.release import load_release, read_release
from scdfm.model.release.graph import release_graph
from scdfm.model.release.tokens import (
    drug_order,
    gene_graph,
    gene_rows,
    named_field,
    read_mask,
    read_vocabulary,
)
from scdfm.model.vocabulary import Vocabulary
from tests.scdfm.release_files import mask, write_checkpoint, write_vocabulary

GENES = ("A", "B", "C", "D", "E", "F")
TOKENS = 4 + len(GENES)
LISTED = ("zinc", "control", "aspirin", "iron")


def neighbours(graph: GeneGraph) -> NDArray[np.bool_]:
    seen = np.zeros((graph.tokens, graph.tokens), dtype=bool)
    for gene in range(graph.tokens):
        seen[gene, graph.indices[graph.indptr[gene] : graph.indptr[gene + 1]]] = True
    return seen


def step() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(4)
    shape = (5, len(GENES))
    return {
        "x_t": torch.randn(shape, generator=draw, dtype=torch.float64),
        "t": torch.rand(5, generator=draw, dtype=torch.float64),
        "control": torch.rand(shape, generator=draw, dtype=torch.float64),
    }


@pytest.mark.parametrize("pair", [("B", "E"), ("D",)], ids=["double", "single"])
def test_genes_by_our_names_are_the_releases_by_its_tokens(
    tmp_path: Path, pair: tuple[str, ...]
) -> None:
    path = write_checkpoint(tmp_path / "c.pt", tokens=TOKENS)
    theirs = load_release(path, heads=2, forbidden=mask(TOKENS), gene_perturbations=True)
    names = Vocabulary(genes=GENES, perturbations=("B", "D", "E"))
    ours = named_field(
        read_release(path, heads=None, gene_perturbations=True),
        vocabulary=names,
        graph=gene_graph(mask(TOKENS).numpy()),
        drugs=None,
    )
    asked = torch.tensor([5, 0, 3, 2, 1, 4])
    tokens = [4 + GENES.index(name) for name in pair] + [3] * (2 - len(pair))
    expected = theirs.double()(**step(), genes=4 + asked, condition=torch.tensor(tokens))
    got = ours.double()(**step(), genes=asked, condition=torch.tensor(names.ids(pair)))
    torch.testing.assert_close(got, expected)


def test_drugs_by_our_names_are_the_rows_of_the_list(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "c.pt", tokens=TOKENS, drugs=len(LISTED))
    theirs = load_release(path, heads=2, forbidden=mask(TOKENS), gene_perturbations=False)
    drugs, rows = drug_order(LISTED)
    assert drugs == ("aspirin", "iron", "zinc")
    names = Vocabulary(genes=GENES, perturbations=drugs, kind="drug")
    ours = named_field(
        read_release(path, heads=None, gene_perturbations=False),
        vocabulary=names,
        graph=gene_graph(mask(TOKENS).numpy()),
        drugs=rows,
    )
    asked = torch.arange(len(GENES))
    for pair in (("aspirin", "zinc"), ("iron",)):
        listed = [LISTED.index(name) for name in (*pair, "control")][:2]
        expected = theirs.double()(**step(), genes=4 + asked, condition=torch.tensor(listed))
        got = ours.double()(**step(), genes=asked, condition=torch.tensor(names.ids(pair)))
        torch.testing.assert_close(got, expected)


def test_heads_are_read_from_the_weights(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "c.pt", tokens=TOKENS)
    weights = read_release(path, heads=None, gene_perturbations=True)
    assert (weights.config.heads, weights.config.width, weights.iteration) == (2, 16, 7)


def test_tables_with_fewer_rows_than_names_are_refused_with_both_numbers(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "c.pt", tokens=TOKENS - 4, drugs=len(LISTED))
    weights = read_release(path, heads=None, gene_perturbations=False)
    graph, (drugs, rows) = gene_graph(mask(TOKENS).numpy()), drug_order(LISTED)
    names = Vocabulary(genes=GENES, perturbations=drugs, kind="drug")
    with pytest.raises(ValueError, match="a gene table of 9 rows, and 6 genes need 10"):
        named_field(weights, vocabulary=names, graph=graph, drugs=rows)
    path = write_checkpoint(tmp_path / "d.pt", tokens=TOKENS, drugs=0)
    weights = read_release(path, heads=None, gene_perturbations=False)
    with pytest.raises(ValueError, match="a drug table of 3 rows, and 4 names need 4"):
        named_field(weights, vocabulary=names, graph=graph, drugs=rows)


def test_a_graph_that_joins_all_genes_is_refused(tmp_path: Path) -> None:
    weights = read_release(
        write_checkpoint(tmp_path / "c.pt", tokens=TOKENS), heads=None, gene_perturbations=True
    )
    forbidden = mask(TOKENS)
    forbidden[4:, 4:] = False
    names = Vocabulary(genes=GENES, perturbations=GENES)
    with pytest.raises(ValueError, match="every gene, which in a model of ours means no graph"):
        named_field(weights, vocabulary=names, graph=gene_graph(forbidden.numpy()), drugs=None)


def test_null_is_the_releases_control() -> None:
    assert gene_rows(3).tolist() == [4, 5, 6, 3]


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (("a", "control", "b", "a"), "got 'a' 2 times"),
        (("a", "b"), "got none among 2 names"),
        (("a", "control", "DMSO"), "got control, DMSO among 3 names"),
    ],
    ids=["twice", "no control", "two controls"],
)
def test_a_list_that_cannot_be_a_tables_order_is_refused(
    listed: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        drug_order(listed)


def test_a_mask_becomes_the_graph_of_its_genes() -> None:
    forbidden = mask(TOKENS).numpy()
    np.testing.assert_array_equal(neighbours(gene_graph(forbidden)), ~forbidden[4:, 4:])


@pytest.mark.parametrize(
    ("row", "column", "said"),
    [
        (3, 6, "token 3, 'control', look at itself only, got 2 tokens"),
        (7, 3, "token 7 that may look at token 3"),
        (5, 0, "token 5 that may look at token 0"),
    ],
    ids=["control sees", "control is seen", "pad is seen"],
)
def test_a_mask_whose_special_tokens_mix_with_genes_is_refused(
    row: int, column: int, said: str
) -> None:
    forbidden = mask(TOKENS).numpy()
    forbidden[row, column] = False
    with pytest.raises(ValueError, match=said):
        gene_graph(forbidden)


def test_a_gene_that_sees_nobody_is_named_by_its_token() -> None:
    forbidden = mask(TOKENS).numpy()
    forbidden[6] = True
    with pytest.raises(ValueError, match="got token 6 that may look at none"):
        gene_graph(forbidden)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.zeros(5, 6, dtype=torch.bool), r"must be square, got \(5, 6\)"),
        (torch.zeros(5, 5), r"must be a bool tensor .* got torch.float32\[5, 5\]"),
        (torch.zeros(4, 4, dtype=torch.bool), "and genes, got 4 tokens"),
        ({"mask": 1}, r"must be a bool tensor .* got dict"),
    ],
    ids=["not square", "not bool", "no gene", "no tensor"],
)
def test_a_file_that_holds_no_mask_is_refused(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "mask.pt")
    with pytest.raises(ValueError, match=said):
        read_mask(tmp_path / "mask.pt")


def test_a_mask_that_is_not_there_or_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no mask"):
        read_mask(tmp_path / "mask.pt")
    with pytest.raises(ValueError, match="expected a mask, got the directory"):
        read_mask(tmp_path)
    (tmp_path / "mask.pt").touch()
    with pytest.raises(ValueError, match="got an empty file"):
        read_mask(tmp_path / "mask.pt")


def test_a_vocabulary_comes_back_in_the_order_of_its_tokens(tmp_path: Path) -> None:
    assert read_vocabulary(write_vocabulary(tmp_path / "v.json", GENES[::-1])) == GENES


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "must be JSON"),
        ("[1]", "must map token names to token ids"),
        ('{"<pad>": "0"}', "must map token names to token ids"),
        ('{"A": 0, "B": 1}', "got 'A' with id 0 where '<pad>' belongs, at 0"),
        ('{"<pad>": 0, "<cls>": 1, "<mask>": 2, "control": 3}', "must hold genes, got 4 tokens"),
    ],
    ids=["no JSON", "list", "ids of text", "no specials", "no genes"],
)
def test_another_file_is_no_vocabulary(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "v.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=said) as refused:
        read_vocabulary(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"B": 9}, "'C' with id 6 where 'B' belongs"), ({"E": 9, "F": 8}, "'F' with id 8")],
    ids=["a gap", "not sorted"],
)
def test_a_vocabulary_out_of_order_is_refused(
    tmp_path: Path, change: dict[str, int], said: str
) -> None:
    path = write_vocabulary(tmp_path / "v.json", GENES)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=said):
        read_vocabulary(path)


def screen() -> NDArray[np.float64]:
    """Expression with correlations of both signs, a constant gene and one that is never seen."""
    draw = np.random.default_rng(5)
    shared = draw.normal(size=(80, 3))
    cells = 3 + shared @ draw.normal(size=(3, 9)) + draw.normal(size=(80, 9))
    cells = cells.clip(min=0)
    cells[:, 4], cells[:, 7] = 0, 2.5
    return cells


def by_definition(cells: NDArray[np.float64], *, k: int, negative: bool) -> NDArray[np.bool_]:
    """Who sees whom, gene by gene."""
    logged = np.log1p(cells)
    genes = range(cells.shape[1])

    def r(a: int, b: int) -> float:
        constant = not np.ptp(logged[:, a]) or not np.ptp(logged[:, b])
        return 0.0 if constant else float(np.corrcoef(logged[:, a], logged[:, b])[0, 1])

    nearest = {
        a: sorted((b for b in genes if b != a and r(a, b)), key=lambda b: -abs(r(a, b)))[:k]
        for a in genes
    }
    seen = np.eye(len(genes), dtype=bool)
    for a in genes:
        for b in nearest[a]:
            if negative or r(a, b) > 0 or a in nearest[b]:
                seen[a, b] = seen[b, a] = True
    return seen


@pytest.mark.parametrize("negative", [True, False])
@pytest.mark.parametrize("k", [1, 2, 3, 20])
def test_the_rebuilt_graph_is_the_releases_by_definition(k: int, negative: bool) -> None:
    cells = screen()
    graph = release_graph([cells[:30], cells[:0], cells[30:]], genes=9, k=k, negative=negative)
    np.testing.assert_array_equal(neighbours(graph), by_definition(cells, k=k, negative=negative))


def test_genes_without_variance_see_only_themselves() -> None:
    seen = neighbours(release_graph([screen()], genes=9, k=20, negative=True))
    assert seen[[4, 7]].sum() == 2
    assert seen[4, 4]
    assert seen[7, 7]


def test_a_graph_of_one_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="needs at least 2 training cells, got 1"):
        release_graph([screen()[:1]], genes=9, k=2, negative=True)
