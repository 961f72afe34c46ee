"""What does not fit together is refused in one line, and nothing is written."""

from pathlib import Path

import pytest

from data_store.store.reader import Store
from scdfm.flow.checkpoint import load_model
from tests.cluster.release.made import imported, listed, refused, tokens_of
from tests.scdfm.release_files import write_checkpoint, write_mask, write_vocabulary


def test_a_split_that_leaves_nothing_to_test_is_refused(
    files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    with Store.open(tiny_store_path) as store:
        kept = [gene for gene in sorted(store.genes) if gene not in tokens_of(tiny_store_path)[1:]]
    write_vocabulary(tmp_path / "v.json", kept)
    said = refused(files, tiny_store_path, tmp_path, mask=None, vocabulary=tmp_path / "v.json")
    assert "test conditions of split additive, fold 0 can be predicted by this model" in said


def test_what_stands_there_is_kept_unless_told_otherwise(
    files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    imported(files, tiny_store_path, tmp_path)
    before = (tmp_path / "model" / "model.json").read_text()
    with pytest.raises(FileExistsError, match="exists already; choose another name"):
        imported(files, tiny_store_path, tmp_path, fold=2)
    assert (tmp_path / "model" / "model.json").read_text() == before
    imported(files, tiny_store_path, tmp_path, fold=2, overwrite=True)
    assert load_model(tmp_path / "model").split.fold == 2
    with pytest.raises(FileExistsError, match=r"expected a model at .* to overwrite"):
        imported(files, tiny_store_path, tmp_path, model=tiny_store_path, overwrite=True)
    with pytest.raises(FileExistsError, match=r"expected a model at .* to overwrite"):
        imported(files, tiny_store_path, tmp_path, model=files / "mask.pt", overwrite=True)
    with pytest.raises(NotADirectoryError, match="expected a directory"):
        imported(files, tiny_store_path, tmp_path, model=files / "mask.pt" / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"perturbations": ("control", "a")}, "holds gene perturbations; leave it out"),
        ({"heads": 4}, "16 wide and has 2 heads of 8 features, got heads=4"),
        ({"k": 3}, "--k and --negative-edges belong to a graph that is rebuilt"),
        ({"negative_edges": True}, "--k and --negative-edges belong to a graph"),
        ({"split": "s.json", "fold": 1}, "either --split or --kind with --fold"),
        ({"kind": "combosciplex", "fold": 1}, "--fold belongs to --kind additive"),
        ({"kind": "combosciplex"}, "data without .* and give it as --split FILE.json"),
        ({"split": "none.json"}, "none.json"),
        ({"vocabulary": "none.json"}, "there is no vocabulary none.json"),
        ({"mask": "none.pt"}, "there is no mask none.pt"),
        ({"checkpoint": "none.pt"}, "there is no checkpoint of weights none.pt"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_refused_and_nothing_written(
    files: Path, tiny_store_path: Path, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises((ValueError, OSError), match=said):
        imported(files, tiny_store_path, tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_mask_of_another_size_is_refused_with_both_numbers(
    files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    path = write_mask(tmp_path / "mask.pt", tokens=50)
    said = refused(files, tiny_store_path, tmp_path, mask=path)
    assert "60 genes, which make 64 tokens" in said
    assert "the mask has 50; name the genes of the mask with --vocabulary" in said


def test_fewer_rows_than_the_store_has_genes_are_refused_with_both_numbers(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    write_checkpoint(tmp_path / "gene.pt", tokens=20)
    said = refused(tmp_path, tiny_store_path, tmp_path, mask=None)
    assert "64 tokens" in said
    assert "the checkpoint's gene table has 23 rows; name the genes" in said


def test_genes_that_the_store_lacks_are_named(
    files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    path = write_vocabulary(tmp_path / "v.json", ["KLF1", *tokens_of(tiny_store_path)])
    said = refused(files, tiny_store_path, tmp_path, vocabulary=path)
    assert "1 of the 7 genes in" in said
    assert "first 'KLF1'" in said


def test_a_drug_store_needs_the_order_of_the_drugs(
    files: Path, drug_store: Path, tmp_path: Path
) -> None:
    assert "--perturbations must name the rows" in refused(files, drug_store, tmp_path)
    said = refused(files, drug_store, tmp_path, perturbations=listed(drug_store), kind="additive")
    assert "lacks 2 tensors" in said
    said = refused(files, drug_store, tmp_path, perturbations=("control", "x", "y"))
    assert "lacks 2 tensors" in said


def test_a_list_without_any_of_the_stores_drugs_is_refused(
    files: Path, drug_store: Path, tmp_path: Path
) -> None:
    said = refused(
        files,
        drug_store,
        tmp_path,
        checkpoint=files / "drug.pt",
        perturbations=("control", "x", "y"),
    )
    assert "none of the 6 perturbations" in said


def test_a_list_longer_than_the_table_is_refused_with_both_numbers(
    files: Path, drug_store: Path, tmp_path: Path
) -> None:
    said = refused(
        files,
        drug_store,
        tmp_path,
        checkpoint=files / "drug.pt",
        perturbations=(*listed(drug_store), "a", "b", "c", "d"),
        kind="additive",
    )
    assert "a drug table of 11 rows, and 12 names need 12" in said
