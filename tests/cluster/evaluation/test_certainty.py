"""How sure a difference between rows is."""

import numpy as np

from cluster.work.evaluation.certainty import difference


def test_rows_of_the_same_scores_differ_by_nothing_and_others_in_few_steps_unsurely() -> None:
    names, scores, still = list("ABCD"), np.array([1.0, 0.5, 1.0, np.nan]), np.zeros((200, 4))
    same = difference("overlap_at_N", scores, scores, names, drawn=still)
    assert (same.value, same.interval, same.within_noise) == (0, (0, 0), True)
    assert (same.wins, same.losses, same.conditions) == (0, 0, 3)
    # As much apart in every draw: no interval of one value, nor a verdict on noise.
    apart = difference("overlap_at_N", scores, scores - 0.125, names, drawn=still + 0.125)
    assert (apart.value, apart.interval, apart.within_noise) == (0.125, None, None)
    nothing = difference("overlap_at_N", scores * np.nan, scores, names, drawn=None)
    assert (nothing.conditions, nothing.interval) == (0, None)
