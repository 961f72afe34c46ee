"""The release's own training step and sampler, from a checkout that the user names.

Nothing of the release is kept here. What its script imports and these two functions never use is
replaced by empty stand-ins where it is not installed.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

UNUSED = (
    "accelerate",
    "bs4",
    "cell_eval",
    "jax",
    "networkx",
    "ot",
    "sklearn",
    "timm",
    "triton",
    "tyro",
)


class Peer:
    """The release's network with its optimiser, its training step and its sampler."""

    def __init__(
        self, checkout: Path, *, forbidden: Tensor, rows: int, width: int, heads: int, layers: int
    ) -> None:
        """Import the checkout and build its network.

        Args:
            checkout: The release's repository, checked out.
            forbidden: The gene encoder's mask, bool (tokens, tokens).
            rows: Of its embedding tables.
            width: Features of a token.
            heads: Attention heads.
            layers: Blocks.
        """
        self._script = script(checkout)
        network = importlib.import_module("src.models.origin.model").model
        with TemporaryDirectory() as folder:
            mask = Path(folder) / "data" / "mask.pt"  # it reads a data set's name from the path
            mask.parent.mkdir()
            torch.save(forbidden, mask)
            self.network: nn.Module = network(
                ntoken=rows,
                d_model=width,
                nhead=heads,
                nlayers=layers,
                fusion_method="differential_perceiver",
                perturbation_function="crisper",
                mask_path=str(mask),
            )
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=5e-5)
        self._accelerator = types.SimpleNamespace(device=torch.device("cpu"))

    def allocate(self) -> None:
        """Let the optimiser make its state, by a step that changes nothing."""
        for parameter in self.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def step(
        self, *, control: Tensor, target: Tensor, tokens: Tensor, condition: Tensor, genes: int
    ) -> float:
        """Take one optimiser step and return the loss.

        Args:
            control: Control cells over all genes, (cells, all genes).
            target: Perturbed cells, likewise.
            tokens: Token id of each gene, (all genes,).
            condition: Token ids of the condition, (2,).
            genes: Genes that the step draws.
        """
        self._configure(genes=genes, tokens=tokens)
        self.network.train()
        loss = self._script.train_step(
            control,
            target,
            condition.repeat(len(control), 1),
            self.network,
            None,
            self._accelerator,
            noise_type="Gaussian",
            mode="predict_y",
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())

    def load(self, checkpoint: Path) -> None:
        """Take the weights that the network's velocity uses from a checkpoint."""
        state = torch.load(checkpoint, weights_only=True)["model_state_dict"]
        unknown = self.network.load_state_dict(state, strict=False).unexpected_keys
        assert not unknown, unknown
        self.network.eval()  # the release's own sampling leaves dropout on, which only takes time

    def sample(self, *, control: Tensor, tokens: Tensor, condition: Tensor, points: int) -> Tensor:
        """Generate a cell from each control cell, (cells, genes), by its RK4 over some points."""
        self._configure(genes=control.shape[1], tokens=tokens)
        cells: Tensor = self._script.generate_sample(
            self._script.wrapped_vf,
            control,
            condition.repeat(len(control), 1),
            self.network,
            gene_ids=tokens,
            gene_all=tokens,
            steps=points,
        )
        return cells

    def velocity(
        self, x_t: Tensor, t: Tensor, *, control: Tensor, tokens: Tensor, condition: Tensor
    ) -> Tensor:
        """Velocity, (cells, genes)."""
        genes = tokens.repeat(len(x_t), 1)
        conditions = condition.repeat(len(x_t), 1)
        value: Tensor = self.network(genes, x_t, t, control, conditions, genes)
        return value

    def _configure(self, *, genes: int, tokens: Tensor) -> None:
        """Set what the script's main part would have set."""
        self._script.config = types.SimpleNamespace(
            infer_top_gene=genes, use_mmd_loss=True, gamma=0.5, noise_type="Gaussian"
        )
        self._script.gene_ids = tokens
        self._script.device = torch.device("cpu")


def script(checkout: Path) -> Any:
    """Import the training script of a checkout, and with it all that it imports."""
    if not (checkout / "src" / "script" / "run.py").is_file():
        raise SystemExit(
            f"expected a checkout of the release (with src/script/run.py) at {checkout}, found "
            "none; clone its repository and name the folder"
        )
    sys.path.insert(0, str(checkout))
    absent = [name for name in UNUSED if importlib.util.find_spec(name) is None]
    sys.meta_path.append(_StandIns(absent))
    return importlib.import_module("src.script.run")


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules that answer to every name and do nothing."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = frozenset(packages)

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.split(".")[0] not in self._packages:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = _StandIn(spec.name)
        if spec.name == "timm.models.vision_transformer":
            module.Mlp = _Mlp
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


class _StandIn(ModuleType):
    Mlp: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name)


class _Mlp(nn.Module):
    """Two linear layers: the one thing that the network takes from timm."""

    def __init__(self, in_features: int, hidden_features: int, act_layer: Any, drop: float) -> None:
        super().__init__()
        assert drop == 0
        self.fc1 = nn.Linear(in_features, hidden_features)
        self.act = act_layer()
        self.fc2 = nn.Linear(hidden_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out
