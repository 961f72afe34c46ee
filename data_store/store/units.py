"""Units of a store, the runs of rows of one condition in one context, and the table of them."""

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from scdfm.screen.conditions import Condition


@dataclass(frozen=True)
class Unit:
    """The cells of one condition in one context: rows start to stop of the store."""

    context: str
    condition: str  # canonical name
    label: str  # as the data write it
    tokens: Condition
    start: int
    stop: int
    nonzero: int = field(compare=False, default=0)  # values of all its cells

    @property
    def is_control(self) -> bool:
        return not self.tokens

    def __len__(self) -> int:
        return self.stop - self.start


def read_units(table: bytes) -> tuple[Unit, ...]:
    """Units of a parquet file, in the order of their rows."""
    return tuple(
        Unit(
            context=row["context"],
            condition=row["condition"],
            label=row["label"],
            tokens=tuple(row["tokens"]),
            start=row["row_start"],
            stop=row["row_stop"],
            nonzero=row["nonzero_stop"] - row["nonzero_start"],
        )
        for row in pq.read_table(pa.BufferReader(table)).to_pylist()
    )
