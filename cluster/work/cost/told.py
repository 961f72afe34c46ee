"""What a process that measures a run tells, a line of JSON for each thing that is known."""

from typing import Literal, NamedTuple


class Told(NamedTuple):
    """What is known after a batch, or of generating cells.

    Attributes:
        parameters: Of the network.
        what: "built" is the network alone, "step" one of training, "cell" one that is generated.
        cells: Of each unit of the batch.
        seconds: Of a step, or of generating one cell as a validation round does.
        bytes: The largest memory so far: of the process, or of the GPU.
    """

    parameters: int
    what: Literal["built", "step", "cell"]
    cells: int
    seconds: float
    bytes: int
