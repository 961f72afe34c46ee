"""Facts of importing a checkpoint of the authors' code on the command line."""

import json
from pathlib import Path

import pytest
import torch

from scdfm.flow.checkpoint import load_model
from tests.cli.conftest import Call
from tests.scdfm.release_files import write_checkpoint, write_mask

TOKENS = 4 + 60  # the tiny store has 60 genes


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    write_checkpoint(folder / "checkpoint.pt", tokens=TOKENS)
    write_mask(folder / "mask.pt", tokens=TOKENS)
    return folder


def test_a_checkpoint_becomes_a_model_that_can_be_inspected(
    scdfm: Call, files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    model = tmp_path / "models" / "release"
    called = scdfm(
        *("import-release", files / "checkpoint.pt", model),
        *("--store", tiny_store_path, "--mask", files / "mask.pt", "--fold", "1"),
    )
    assert called.status == 0
    assert "network  1 layers, 16 wide, 2 heads" in called.out
    assert "test conditions of split additive, fold 1" in called.err
    facts = json.loads(scdfm("inspect", model, "--json").out)
    assert (facts["kind"], facts["model"]["variant"]) == ("model", "release")
    assert facts["split"]["fold"] == 1


def test_without_a_mask_it_is_said_that_the_graph_is_rebuilt(
    scdfm: Call, files: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    called = scdfm(
        *("import-release", files / "checkpoint.pt", tmp_path / "m", "--store", tiny_store_path),
        *("--k", "5", "--negative-edges", "--json"),
    )
    assert called.status == 0
    assert "no --mask: the gene graph is rebuilt as the release builds it" in called.err
    assert "k 5, edges either sign" in called.err
    edges = json.loads(called.out)["graph_edges"]
    assert edges == len(load_model(tmp_path / "m").graph.indices)


def test_a_name_that_comes_twice_in_the_list_is_not_dropped_in_silence(
    scdfm: Call, files: Path, tiny_h5ad: Path, tmp_path: Path
) -> None:
    store = tmp_path / "drugs.zarr"
    assert scdfm("ingest", tiny_h5ad, store, "--perturbation", "drug").status == 0
    (tmp_path / "drugs.txt").write_text("b\na\ncontrol\nb\n")
    called = scdfm(
        *("import-release", files / "checkpoint.pt", tmp_path / "m", "--store", store),
        *("--perturbations", tmp_path / "drugs.txt"),
    )
    assert called.status == 2
    assert "got 'b' 2 times" in called.error


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such checkpoint"),
        (b"", "got an empty file"),
        (b"no weights", "got a file that does not load as one"),
        ({"model_state_dict": {"a": torch.zeros(1)}}, "tensors of the release's network, first"),
        ({"state_dict": {}}, "expected 'model_state_dict' with weights"),
    ],
    ids=["none", "empty", "text", "other tensors", "other layout"],
)
def test_a_file_that_is_no_checkpoint_gets_one_line(
    scdfm: Call, tiny_store_path: Path, tmp_path: Path, content: object, said: str
) -> None:
    path = tmp_path / "c.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    called = scdfm("import-release", path, tmp_path / "m", "--store", tiny_store_path)
    assert called.status == 2
    assert said in called.error
    assert not (tmp_path / "m").exists()
