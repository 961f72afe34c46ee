"""What a report says of its words."""

from scdfm.metrics import METRICS, Metric


def test_every_metric_says_what_it_measures_in_a_sentence_of_its_own() -> None:
    said = [metric.meaning for _, metric in METRICS.items()]
    assert all(text.endswith(".") and 30 < len(text) < 170 for text in said)
    assert len(set(said)) == len(said)


def test_a_metric_without_a_sentence_is_described_by_its_function() -> None:
    def depth(units: object) -> object:
        """Depth of a unit, (units,).

        Nobody reads this.
        """
        return units

    assert Metric(depth, mode="max").meaning == "Depth of a unit."  # type: ignore[arg-type]
