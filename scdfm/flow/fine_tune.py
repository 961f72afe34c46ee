"""Start a field from another one's weights: tokens are matched by name, the rest is copied.

A token is a measured gene, a perturbed gene that is not measured, a drug, or "nothing perturbed".
"""

from typing import NamedTuple

import torch
from torch import Tensor

from scdfm.model.config import ModelConfig
from scdfm.model.field import VelocityField
from scdfm.model.networks.release import OURS
from scdfm.model.vocabulary import Vocabulary

GENES, DRUGS = "gene_encoder.embedding.weight", "drugs.weight"  # tables with a row for each token
TRAINED = "unknown.trained"  # a row for each token that perturbations use
_NULL = ""  # no gene and no drug has this name


class Match(NamedTuple):
    """Which tokens of a new field an older one knows.

    Attributes:
        matched: How many it knows, without "nothing perturbed".
        new: Names of those it does not know; they keep the weights that they were given.
        left: How many of its own tokens the new field does not use.
    """

    matched: int
    new: tuple[str, ...]
    left: int


def match(vocabulary: Vocabulary, *, source: Vocabulary) -> Match:
    """Compare the tokens of a field with those of the one it starts from.

    Raises:
        ValueError: One perturbs genes, the other applies drugs.
    """
    if vocabulary.kind != source.kind:
        raise ValueError(
            f"perturbations are {source.kind}s there and {vocabulary.kind}s here; "
            "start from a model of the same kind of screen"
        )
    wanted, known = (
        [(table, name) for table, names in _tables(one).items() for name in names if name]
        for one in (vocabulary, source)
    )
    there = set(known)
    new = tuple(name for table, name in wanted if (table, name) not in there)
    return Match(matched=len(wanted) - len(new), new=new, left=len(there - set(wanted)))


def require_same_size(config: ModelConfig, *, source: ModelConfig) -> None:
    """Refuse a field whose weights do not fit.

    Raises:
        ValueError: Names the first setting that differs, with both values.
    """
    for name in ("variant", "width", "layers", "head_count", "attention", "mlp", *OURS):
        here, there = getattr(config, name), getattr(source, name)
        if here != there:
            setting = f"model.{name.replace('head_count', 'heads')}"
            raise ValueError(
                f"{setting} is {_plain(there)} there and {_plain(here)} here; "
                f"set {setting}: {_plain(there)}"
            )


def start_from(field: VelocityField, *, source: VelocityField) -> Match:
    """Overwrite a field's weights with another's; tokens that it does not know keep theirs.

    What a field was given before its first step are facts of its own cells, and stay; but a token
    that the source was trained on counts as trained.

    Raises:
        ValueError: The fields differ in size, or in the kind of their perturbations.
    """
    require_same_size(field.config, source=source.config)
    found = match(field.vocabulary, source=source.vocabulary)
    mine, theirs = _tables(field.vocabulary), _tables(source.vocabulary)
    weights = source.state_dict()
    with torch.no_grad():
        for name, weight in field.state_dict().items():
            if name in mine:
                _copy_rows(weight, weights[name], to=mine[name], of=theirs[name])
            elif name == TRAINED:
                table = GENES if field.vocabulary.kind == "gene" else DRUGS
                _copy_rows(known := weight.clone(), weights[name], to=mine[table], of=theirs[table])
                weight |= known
            elif name not in field.given:
                weight.copy_(weights[name])
    return found


def _tables(vocabulary: Vocabulary) -> dict[str, list[str]]:
    """The token of each row, by table."""
    if vocabulary.kind == "drug":
        return {
            GENES: [*vocabulary.genes, _NULL],
            DRUGS: [_NULL, *vocabulary.perturbations],
        }
    return {GENES: [*vocabulary.genes, _NULL, *vocabulary.unmeasured]}


def _copy_rows(weight: Tensor, source: Tensor, *, to: list[str], of: list[str]) -> None:
    row_of = {name: row for row, name in enumerate(of)}
    rows = [(row, row_of[name]) for row, name in enumerate(to) if name in row_of]
    mine, theirs = torch.tensor(rows).T
    weight[mine] = source[theirs].to(weight)


def _plain(value: object) -> str:
    """As a run file has it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
