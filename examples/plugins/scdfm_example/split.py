"""All that is known of one perturbation is tested."""

from scdfm.splits import SplitConfig
from scdfm.splits.kinds import Chosen, SplitKind
from scdfm.splits.screen import Screen


def leave_one_out(config: SplitConfig, screen: Screen) -> Chosen:
    """Test every condition that holds perturbation number `fold`, in name order.

    Raises:
        ValueError: There are not so many.
    """
    perturbations = sorted(screen.tokens(screen.conditions))
    if config.fold >= len(perturbations):
        raise ValueError(
            f"fold must be below the number of perturbations, {len(perturbations)}, got "
            f"{config.fold}; lower it"
        )
    out = perturbations[config.fold]
    return Chosen(test=tuple(name for name, tokens in screen.conditions.items() if out in tokens))


LEAVE_ONE_OUT = SplitKind(leave_one_out, automatic=True)
