"""Which tensors of the authors' checkpoints correspond to which of ours.

Ours are fused or split where theirs are not, so a correspondence joins equal parts of tensors. It
is linear and one to one: gradients go through it as weights do.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

GENES, DRUGS = "encoder.embedding.weight", "perturbation_embedder.embedding.weight"

WHOLE = {  # modules whose weight and bias are ours as they are
    "t_embedder.mlp.0": "time.mlp.0",
    "t_embedder.mlp.2": "time.mlp.2",
    "value_encoder_1.linear1": "values.hidden",
    "value_encoder_1.linear2": "values.out",
    "value_encoder_1.norm": "values.norm",
    "value_encoder_2.linear1": "control_values.hidden",
    "value_encoder_2.linear2": "control_values.out",
    "value_encoder_2.norm": "control_values.norm",
    "encoder.enc_norm": "gene_encoder.norm",
    "encoder.perturbation_interaction.norm1": "gene_encoder.query_norm",
    "encoder.perturbation_interaction.cross_attn.out_proj": "gene_encoder.out",
    "encoder.perturbation_interaction.norm2": "gene_encoder.mlp_norm",
    "encoder.perturbation_interaction.linear1": "gene_encoder.mlp.hidden",
    "encoder.perturbation_interaction.linear2": "gene_encoder.mlp.out",
    "fusion_layer.2": "fusion.out",
    "fusion_layer.3": "fusion.norm",
    "final_layer.fc.2": "head.out",
    "final_layer.fc.4": "velocity_out",
}
WHOLE_IN_BLOCK = {  # {} is the block's number
    "gene_adaLN.{}.adaLN_modulation.1": "blocks.{}.gene_modulation.linear",
    "gene_adaLN.{}.norm": "blocks.{}.gene_modulation.norm",
    "adapter_layer.{}.3": "blocks.{}.injection.out",
    "blocks.{}.diff_self_attn.mlp.fc1": "blocks.{}.own.mlp.hidden",
    "blocks.{}.diff_self_attn.mlp.fc2": "blocks.{}.own.mlp.out",
    "blocks.{}.diff_cross_attn.mlp.fc1": "blocks.{}.cross.mlp.hidden",
    "blocks.{}.diff_cross_attn.mlp.fc2": "blocks.{}.cross.mlp.out",
}
LAYERS = {"diff_self_attn": "own", "diff_cross_attn": "cross"}
FROM_NORMED = {
    "own": ("q_proj_1", "q_proj_2", "v_proj"),
    "cross": ("q_proj_1", "k_proj_1", "v_proj"),
}
FROM_OTHER = {"own": ("k_proj_1", "k_proj_2"), "cross": ("q_proj_2", "k_proj_2")}
LAMBDAS = ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")


class Part(NamedTuple):
    """One of `parts` equal cuts of a tensor along an axis."""

    name: str
    which: int = 0
    parts: int = 1
    axis: int = 0

    def of(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """This part, as a view."""
        return tensors[self.name].tensor_split(self.parts, dim=self.axis)[self.which]


def correspondence(*, layers: int, drugs: bool) -> list[tuple[Part, Part]]:
    """Every part of theirs with its place in ours; parts of one tensor follow each other."""
    pairs = [*_whole(WHOLE), *_encoder(), *_halves("fusion_layer.0", "fusion", "from_control")]
    pairs += _halves("final_layer.fc.0", "head", "from_perturbation", biased="from_cell")
    if drugs:
        pairs += [(Part(DRUGS), Part("drugs.weight"))]
        pairs += _whole({"perturbation_embedder.enc_norm": "drug_norm"})
    for block in range(layers):
        named = {a.format(block): b.format(block) for a, b in WHOLE_IN_BLOCK.items()}
        adapter, injection = f"adapter_layer.{block}.0", f"blocks.{block}.injection"
        pairs += _whole(named)
        pairs += _halves(adapter, injection, "from_perturbation", biased="from_cell")
        for theirs, ours in LAYERS.items():
            pairs += _layer(f"blocks.{block}.{theirs}", f"blocks.{block}.{ours}", kind=ours)
    return pairs


def _whole(modules: Mapping[str, str]) -> Iterator[tuple[Part, Part]]:
    for theirs, ours in modules.items():
        for kind in ("weight", "bias"):
            yield Part(f"{theirs}.{kind}"), Part(f"{ours}.{kind}")


def _encoder() -> Iterator[tuple[Part, Part]]:
    """The table, and the packed projections: a third is the query, two are key and value."""
    yield Part(GENES), Part("gene_encoder.embedding.weight")
    for kind in ("weight", "bias"):
        packed = f"encoder.perturbation_interaction.cross_attn.in_proj_{kind}"
        yield Part(packed, 0, 3), Part(f"gene_encoder.query.{kind}")
        for half in (0, 1):
            yield Part(packed, 1 + half, 3), Part(f"gene_encoder.key_value.{kind}", half, 2)


def _halves(
    theirs: str, ours: str, second: str, *, biased: str | None = None
) -> Iterator[tuple[Part, Part]]:
    """A matrix that took two concatenated vectors, as two; the bias goes to one of them."""
    yield Part(f"{theirs}.weight", 0, 2, axis=1), Part(f"{ours}.from_cell.weight")
    yield Part(f"{theirs}.weight", 1, 2, axis=1), Part(f"{ours}.{second}.weight")
    yield Part(f"{theirs}.bias"), Part(f"{ours}.{biased or second}.bias")


def _layer(theirs: str, ours: str, *, kind: str) -> Iterator[tuple[Part, Part]]:
    """An attention with the modulations of itself and of its MLP."""
    for place, names in (("from_normed", FROM_NORMED[kind]), ("from_other", FROM_OTHER[kind])):
        for index, name in enumerate(names):
            fused = Part(f"{ours}.attention.{place}.weight", index, len(names))
            yield Part(f"{theirs}.attn.{name}.weight"), fused
    for index, name in enumerate(LAMBDAS):
        yield Part(f"{theirs}.attn.{name}"), Part(f"{ours}.attention.lam_factors", index, 4)
    yield Part(f"{theirs}.attn.out_proj.weight"), Part(f"{ours}.attention.out.weight")
    yield Part(f"{theirs}.attn.subln.weight"), Part(f"{ours}.attention.norm.weight")
    for half, modulation in enumerate(("modulation", "mlp_modulation")):
        for bias in ("weight", "bias"):
            packed = f"{theirs}.adaLN_modulation.1.{bias}"
            yield Part(packed, half, 2), Part(f"{ours}.{modulation}.linear.{bias}")


def in_release_names(ours: Mapping[str, Tensor], *, layers: int, drugs: bool) -> dict[str, Tensor]:
    """Put our tensors, or their gradients, into the authors' form.

    Args:
        ours: Every parameter of a `ReleaseField`, or its gradient, by name.
        layers: Its blocks.
        drugs: Whether it has a drug table.
    """
    pieces: dict[str, list[Tensor]] = {}
    axes: dict[str, int] = {}
    for theirs, place in correspondence(layers=layers, drugs=drugs):
        pieces.setdefault(theirs.name, []).append(place.of(ours))
        axes[theirs.name] = theirs.axis
    return {name: torch.cat(parts, dim=axes[name]) for name, parts in pieces.items()}
