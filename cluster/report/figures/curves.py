"""Figures of training: losses and validation scores by step."""

from collections.abc import Mapping, Sequence

import numpy as np

from cluster.report import drawing
from cluster.report.drawing import INK, SERIES
from cluster.report.page import Figure, number

Curve = Sequence[tuple[int, float]]  # steps and values


def losses(curves: Mapping[str, Curve]) -> Figure:
    """Every part of the loss by step."""
    with drawing.canvas() as (figure, [axes]):
        for colour, (name, curve) in zip(SERIES * len(curves), curves.items(), strict=False):
            steps, values = np.array(curve, dtype=float).T
            axes.plot(steps, values, color=colour, label=name)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        drawing.legend(axes, columns=4)
    ends = ", ".join(
        f"{name} from {number(curve[0][1], digits=3)} to {number(curve[-1][1], digits=3)}"
        for name, curve in curves.items()
    )
    return Figure(name="loss", title="Training loss", text=f"Loss by step: {ends}.", drawing=figure)


def validation(curve: Curve, *, metric: str, mode: str, chosen: int | None) -> Figure:
    """The metric that chose the model, by step.

    Args:
        curve: Of the validation rounds.
        metric: Its name.
        mode: Whether a smaller or a larger value is better.
        chosen: Step of the model that was kept.
    """
    steps, values = np.array(curve, dtype=float).T
    with drawing.canvas() as (figure, [axes]):
        axes.plot(steps, values, "o-", color=SERIES[0], markersize=4, label=metric)
        if chosen is not None:
            axes.axvline(chosen, color=INK, linewidth=0.9, linestyle="--", label="kept")
        axes.set_xlabel("step")
        axes.set_ylabel(f"{metric} on validation")
        drawing.legend(axes)
    best = np.nanmin(values) if mode == "min" else np.nanmax(values)
    kept = f"; the model of step {chosen} was kept" if chosen is not None else ""
    return Figure(
        name="validation",
        title=f"Validation: {metric}",
        text=f"{metric} on validation conditions in {len(curve)} rounds; first "
        f"{number(float(values[0]), digits=3)}, best {number(float(best), digits=3)}{kept}.",
        drawing=figure,
    )
