"""Every baseline by the name of its row in an evaluation, one line each."""

from collections.abc import Callable

from scdfm.metrics.baselines.units import MeasuredUnits, Prediction, Units
from scdfm.screen.registry import Registry

Baseline = Callable[[MeasuredUnits, Units], Prediction]

BASELINES: Registry[Baseline] = Registry(
    "baseline",
    group="scdfm.baselines",
    of=Callable,
    own={
        # What is hardest to beat comes first.
        "shrunken": "scdfm.metrics.baselines.shrunken:shrunken",
        "scaled": "scdfm.metrics.baselines.scaled:scaled",
        "additive": "scdfm.metrics.baselines.additive:additive",
        "linear": "scdfm.metrics.baselines.linear:linear",
        "perturbed mean": "scdfm.metrics.baselines.perturbed_mean:perturbed_mean",
        "control": "scdfm.metrics.baselines.control:control",
    },
)


def all_baselines(training: MeasuredUnits, test: Units) -> dict[str, Prediction]:
    """What every baseline predicts, by the name that reports give it.

    Raises:
        ValueError: A baseline predicts other units or genes.
    """
    made = {name: baseline(training, test) for name, baseline in BASELINES.items()}
    for name, prediction in made.items():
        if prediction.mean.shape != test.control.shape:
            raise ValueError(
                f"baseline {name!r} must predict (units, genes) = {test.control.shape}, got "
                f"{prediction.mean.shape}"
            )
    return made
