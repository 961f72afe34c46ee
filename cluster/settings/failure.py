"""What a run bears: how often it starts again, how long it waits. None of it decides a value."""

from pydantic import BaseModel, Field, NonNegativeInt


class FailureLimits(BaseModel, frozen=True, extra="forbid"):
    """How often a run starts its workers again, and how long it waits for them."""

    worker_restarts: NonNegativeInt = Field(
        default=3, description="Times that workers start again after one of them or its node died"
    )
    preemption_restarts: NonNegativeInt = Field(
        default=20, description="Times that workers start again after their node was taken away"
    )
    controller_restarts: NonNegativeInt = Field(
        default=3, description="Times that workers start again after they died while they started"
    )
    backoff: float = Field(
        default=2.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds before workers start again; twice as long each next time, at most 60",
    )
    placement_timeout: float = Field(
        default=600.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds that workers may wait for room on the cluster",
    )
    stall_timeout: float = Field(
        default=1800.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds without a step, or a batch of validation, until a worker is given up "
        "and started again",
    )
