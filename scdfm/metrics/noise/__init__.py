"""How sure a score is: what chance alone gives, and between which values a score lies.

Half of a unit's real cells against the other half is as good as a prediction can look
(`halves`); cells are drawn again to learn what their choice does (`draws`); from both follow
intervals of scores and of their differences (`intervals`).
"""

from scdfm.metrics.noise.draws import Draws, drawn_means, fixed_enough
from scdfm.metrics.noise.halves import half_means
from scdfm.metrics.noise.intervals import Interval, interval

__all__ = ["Draws", "Interval", "drawn_means", "fixed_enough", "half_means", "interval"]
