"""Words that settings of a run may take. Loads no torch."""

from typing import Literal

Precision = Literal["auto", "float32", "bf16"]  # auto: float32 on CPU, bf16 on a GPU that has it
Compile = Literal["auto", "on", "off"]  # of the velocity; auto: on a GPU
