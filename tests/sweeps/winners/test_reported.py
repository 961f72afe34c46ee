"""A report shows the front of several metrics, and test scores apart from the board."""

import json
from typing import Any

from cluster.report.page import Figure, Table, Text
from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.report import search_section
from sweeps.schema.files import make_sweep


def test_a_report_marks_the_front_and_has_test_scores_of_their_own(
    tiny: dict[str, Any], tiny_sweep: SweepConfig
) -> None:
    two = [{"metric": "mse"}, {"metric": "pearson_delta"}]
    sweep = make_sweep(
        {**tiny, "base": tiny_sweep.base, "objective": two, "splits": [{"kind": "additive"}]},
        where="sweep",
    )
    directory = SweepDirectory(sweep.directory)
    directory.path.mkdir(parents=True)
    directory.lock.take(sweep, fingerprint="0" * 64, begun=False)
    ledger = directory.ledger
    for number, (mse, pearson) in enumerate([(0.3, 0.5), (0.1, 0.2), (0.4, 0.1)], start=1):
        tried, key = {**sweep.baseline, "graph.k": 4 * number}, str(number)
        ledger.write(
            {"event": "start", "trial": key, "configuration": tried, "baseline": number == 1}
        )
        further = {"pearson_delta": pearson}
        ledger.write({"event": "split", "trial": key, "split": 0, "value": mse, "further": further})
        ledger.write({"event": "complete", "trial": key, "seconds": 1.0})
    section = search_section(directory)
    [drawn] = [one for one in section.blocks if isinstance(one, Figure) and "front" in one.name]
    assert "trial 2 0.1 and 0.2; trial 1 0.3 and 0.5" in drawn.text
    assert "trial 3" not in drawn.text
    [board] = [one for one in section.blocks if isinstance(one, Table)]
    assert board.columns[:3] == ("trial", "mse", "pearson_delta")
    assert [row[0].note for row in board.rows] == ["front", "baseline, front", ""]

    scores = {"mse": {"value": 0.25, "interval": [0.2, 0.3]}}
    part = {"split": 0, "model": "m", "step": 0, "retrained": False, "scores": scores}
    record = {"winner": {"trial": 2, "splits": [part]}, "base": None, "retrain": False}
    directory.final.write_text(json.dumps({**record, "said": "on test conditions trial 2 has"}))
    section = search_section(directory)
    tested = section.blocks[-1]
    assert isinstance(tested, Table)
    assert [cell.text for cell in tested.rows[0]] == ["winner, trial 2", "0", "0", "0.25"]
    assert tested.rows[0][2].note == "the untrained network"
    assert tested.rows[0][3].note == "0.2 to 0.3"
    told = [one.text for one in section.blocks if isinstance(one, Text)]
    assert "On test conditions trial 2 has." in told
