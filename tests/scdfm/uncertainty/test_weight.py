"""The weight of an ensemble's flow is that of its members, and its interval is no narrower."""

from scdfm.flow.certainty.ensemble import _mean
from scdfm.flow.combined import FlowWeight


def test_bounds_of_an_ensembles_weight_are_the_means_of_its_members() -> None:
    members = [
        FlowWeight(flow=0.25, units=4, interval=(0.125, 0.5)),
        FlowWeight(flow=0.75, units=5, interval=(0.375, 1.0), guess=True),
    ]
    together = FlowWeight(flow=0.5, units=5, interval=(0.25, 0.75), guess=True)
    assert _mean(members) == together
    # One that had too few units for an interval may be anywhere.
    assert _mean([*members, FlowWeight(flow=0.5, units=2)]).interval is None
