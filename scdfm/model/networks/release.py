"""The network as the authors' code has it."""

from typing import TYPE_CHECKING

from scdfm.model.networks.network import Network

if TYPE_CHECKING:
    from scdfm.gene_graph.graph import GeneGraph
    from scdfm.model.config import ModelConfig
    from scdfm.model.release.network import ReleaseField
    from scdfm.model.vocabulary import Vocabulary

ENCODER_HEADS = 8  # whatever the blocks have
# Options of the paper's network alone.
OURS = ("pooling", "rank", "token_dropout", "base_channel", "base_velocity")


def _build(
    config: "ModelConfig", *, vocabulary: "Vocabulary", graph: "GeneGraph"
) -> "ReleaseField":
    from scdfm.model.release.network import ReleaseField

    drugs = 1 + len(vocabulary.perturbations) if vocabulary.kind == "drug" else None
    field = ReleaseField(config, graph=graph, tokens=vocabulary.gene_tokens, drugs=drugs)
    field.vocabulary = vocabulary
    return field


def _check(config: "ModelConfig") -> None:
    if config.attention != "differential" or not config.mlp:
        raise ValueError(
            "variant release has differential attention followed by an MLP, got "
            f"attention={config.attention}, mlp={str(config.mlp).lower()}; use variant paper"
        )
    for name in OURS:
        if getattr(config, name) != type(config).model_fields[name].default:
            raise ValueError(
                f"variant release is the authors' network, which has no {name}, got "
                f"{getattr(config, name)!r}; leave it out or use variant paper"
            )
    if config.width % ENCODER_HEADS:
        raise ValueError(
            f"the gene encoder of variant release has {ENCODER_HEADS} heads, which must divide "
            f"width, got width={config.width}"
        )


RELEASE = Network(_build, check=_check, lacks=OURS)
