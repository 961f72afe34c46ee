"""Names for mappings that have no type of ours, each with its reason.

What we write and read ourselves is a pydantic model, a dataclass, a NamedTuple or a TypedDict. A
test finds every other mapping of anything: it was forgotten, or needs a name here.
"""

from typing import Any, TypeAlias

# What a user wrote (YAML, --set, keyword arguments) before a model has checked it: any name in it
# may be wrong, and any value of another type.
Unchecked: TypeAlias = dict[str, Any]

# A JSON object as it goes out or comes in: of records that have a type on our side, or of another
# program, whose keys are not ours to name.
JsonObject: TypeAlias = dict[str, Any]
