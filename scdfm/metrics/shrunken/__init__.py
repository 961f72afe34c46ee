"""The shrunken additive base: effects of tokens that are only as large as the data can tell.

Model of the mean changes of conditions, on log1p expression (SCIENCE.md, section 8.1):

    D_c = s_c * sum of b_t over the tokens t of c + interaction + noise

    b_t          ~ N(0, tau_t)
    s_c          = 1 for singles, one scale for all combinations
    interaction  ~ N(0, nu * sum of tau_t), of combinations only
    noise        known: variance over cells of a condition and of its controls

The controls' part of the noise is one and the same in all conditions of a context: their sampling
error, with its sign turned. So it is an effect that all of them have, with a known variance; its
posterior mean belongs to every change that is measured against these controls. (Section 8.1 takes
it for independent noise; where the controls are few, this is better. CHANGELOG.md has figures.)

All constants come from the training units by moments, so there is nothing to tune. It needs
neither torch nor a model.
"""

from scdfm.metrics.shrunken.base import RULE, Base, Delta, RuleError
from scdfm.metrics.shrunken.by_gene import variance_by_gene
from scdfm.metrics.shrunken.fit import fit
from scdfm.metrics.shrunken.moved import moved, shift_to
from scdfm.metrics.shrunken.unshrunken import NO_SINGLES, unshrunken

__all__ = [
    "NO_SINGLES",
    "RULE",
    "Base",
    "Delta",
    "RuleError",
    "fit",
    "moved",
    "shift_to",
    "unshrunken",
    "variance_by_gene",
]
