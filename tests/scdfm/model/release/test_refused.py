"""A checkpoint or a mask that is none is refused in one line."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scdfm.model.release import mask_graph
from tests.scdfm.model.release.made import TOKENS, checkpoint, load


def edited(path: Path, **tensors: Tensor | None) -> Path:
    """A checkpoint with tensors replaced, added or, for None, left out; `__` stands for a dot."""
    content = torch.load(checkpoint(path), weights_only=True)
    for name, tensor in tensors.items():
        content["model_state_dict"].pop(name.replace("__", "."), None)
        if tensor is not None:
            content["model_state_dict"][name.replace("__", ".")] = tensor
    torch.save(content, path)
    return path


def test_missing_tensors_are_named(tmp_path: Path) -> None:
    path = edited(tmp_path / "c.pt", fusion_layer__2__bias=None, gene_adaLN__1__norm__bias=None)
    with pytest.raises(ValueError, match=r"lacks 2 .* first fusion_layer.2.bias, gene_adaLN.1.no"):
        load(path)


def test_unknown_tensors_are_named(tmp_path: Path) -> None:
    path = edited(tmp_path / "c.pt", rotary__table=torch.zeros(3))
    with pytest.raises(ValueError, match=r"has unknown 1 .* first rotary\.table"):
        load(path)


def test_a_drug_table_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks 3 .* first perturbation_embedder\.embedding"):
        load(checkpoint(tmp_path / "c.pt"), drugs=True)


def test_fewer_embeddings_than_tokens_are_refused_with_both_numbers(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.pt", rows=TOKENS - 2)
    with pytest.raises(ValueError, match=r"covers 12 tokens, .* has embeddings of only 10"):
        load(path)


def test_heads_that_the_weights_deny_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16 wide and has 2 heads of 8 features, got heads=4"):
        load(checkpoint(tmp_path / "c.pt"), heads=4)


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    path = edited(tmp_path / "c.pt", fusion_layer__2__weight=torch.zeros(16, 8))
    with pytest.raises(ValueError, match=r"fusion_layer\.2\.weight in .* has shape \(16, 8\)"):
        load(path)


def test_weights_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    torch.save({"model_state_dict": {"fusion_layer.2.bias": [1.0]}}, path)
    with pytest.raises(ValueError, match=r"got list for 'fusion_layer\.2\.bias'"):
        load(path)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "got none"),
        ({3: torch.ones(1)}, "got Tensor for 3"),
        ({"a": torch.ones(2, 2).to_sparse()}, "got Tensor for 'a'"),
        ({"a": torch.tensor([1.0, torch.nan])}, "NaN or infinity in a"),
    ],
    ids=["empty", "numbered", "sparse", "not finite"],
)
def test_weights_that_are_of_no_use_are_refused(
    tmp_path: Path, weights: object, message: str
) -> None:
    torch.save({"model_state_dict": weights}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "c.pt")


@pytest.mark.parametrize("content", [{"weights": 1}, [1, 2]])
def test_another_layout_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(ValueError, match="expected 'model_state_dict' with weights in"):
        load(tmp_path / "c.pt")


class Ran(Exception):
    """A pickle was allowed to call something."""


def shout() -> None:
    raise Ran


class Trap:
    """Calls `shout` when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return shout, ()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_is_not_weights_is_refused_and_runs_nothing(
    tmp_path: Path, legacy: bool
) -> None:
    path = tmp_path / "c.pt"
    torch.save({"model_state_dict": Trap()}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match="other objects than weights are not loaded") as refused:
        load(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"weights",
        b"\x80",
        bytes(range(256)),
        pickle.dumps(Trap(), protocol=2),
        b"PK\x03\x04half a zip",
    ],
    ids=["empty", "text", "short", "bytes", "pickle", "zip"],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="expected a checkpoint of weights"):
        load(path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.pt")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match="expected a checkpoint of weights"):
        load(path)


def test_a_checkpoint_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        load(tmp_path / "c.pt")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (torch.zeros(3, 4, dtype=torch.bool), r"got bool of shape \(3, 4\)"),
        (torch.zeros(3, 3), r"got float32 of shape \(3, 3\)"),
        (torch.tensor([[False, True], [True, True]]), "token 1 may look at none"),
    ],
    ids=["not square", "not bool", "nobody"],
)
def test_a_mask_that_is_none_is_refused(wrong: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mask_graph(wrong)


def test_a_mask_becomes_neighbours() -> None:
    graph = mask_graph(torch.tensor([[False, True, False], [True, False, True], [False] * 3]))
    assert graph.indptr.tolist() == [0, 2, 3, 6]
    assert graph.indices.tolist() == [0, 2, 1, 0, 1, 2]
