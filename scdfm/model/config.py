"""Options of the network. Loads no torch."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, PositiveInt, model_validator

from scdfm.model.networks import NETWORKS

HEAD_WIDTH = 64  # features per head when heads are not given


class ModelConfig(BaseModel, frozen=True, extra="forbid"):
    """Size and form of the velocity field."""

    variant: Annotated[str, NETWORKS] = Field(
        default="paper", description="The paper's network, or that of the authors' code (release)"
    )
    width: PositiveInt = Field(default=512, description="Features per gene token")
    layers: PositiveInt = Field(default=4, description="Blocks")
    heads: PositiveInt | None = Field(
        default=None,
        description="Attention heads, must divide width (default: about one for every 64 features)",
    )
    dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of features dropped in training, 0 or more and below 1",
    )
    attention: Literal["differential", "standard"] = Field(
        default="differential", description="Differential attention of the paper, or standard"
    )
    mlp: bool = Field(
        default=True, description="An MLP after each attention; false: equations 11-12 alone"
    )
    pooling: Literal["mean", "sum"] = Field(
        default="mean",
        description="Embedding of a condition: mean of its tokens and null (paper), or their sum",
    )
    rank: PositiveInt | None = Field(
        default=None,
        description="Principal components of training cells that span the velocity, plus a gated "
        "rest (default: no limit)",
    )

    token_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of tokens replaced in training by a learned unknown one, which then "
        "stands for tokens never trained; 0: there is none",
    )

    base_channel: bool = Field(
        default=False,
        description="The network reads the condition's shrunken change, too (in training fitted "
        "without the condition)",
    )

    base_velocity: bool = Field(
        default=False,
        description="The shrunken change is the first guess of the velocity, to which the network "
        "adds (with base_channel)",
    )

    @property
    def head_count(self) -> int:
        """Heads in use: by default as many as divide width with at least 64 features each."""
        most = max(1, self.width // HEAD_WIDTH)
        return self.heads or next(h for h in range(most, 0, -1) if self.width % h == 0)

    @model_validator(mode="after")
    def the_variant_has_this_form(self) -> Self:
        NETWORKS[self.variant].check(self)
        return self

    @model_validator(mode="after")
    def a_guess_is_read(self) -> Self:
        if self.base_velocity and not self.base_channel:
            raise ValueError(
                "base_velocity expects base_channel, got base_channel=false; set both or neither"
            )
        return self

    @model_validator(mode="after")
    def heads_divide_width(self) -> Self:
        if self.width % self.head_count:
            raise ValueError(
                f"heads must divide width, got width={self.width}, heads={self.head_count}"
            )
        return self
