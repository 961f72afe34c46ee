"""JSON Schema of sweep files as users write them."""

from pydantic.json_schema import JsonSchemaValue

from cluster.settings.config import RunConfig
from cluster.settings.file_schema import DRAFT, run_settings
from sweeps.schema.settings import settings
from sweeps.schema.sweep import SweepConfig

_OF_THE_SWEEP = ("name", "output")  # in a base they would have no effect


def sweep_schema() -> JsonSchemaValue:
    """The schema of a sweep file; what can be searched is listed by dotted name."""
    schema, run = SweepConfig.model_json_schema(), RunConfig.model_json_schema()
    parts = {**schema["properties"]}
    inside = {name: one for name, one in run_settings(run).items() if name not in _OF_THE_SWEEP}
    parts["base"] = {
        "description": parts["base"]["description"],
        "anyOf": [
            {"type": "string", "description": "Path to a run file"},
            {"type": "object", "properties": inside, "additionalProperties": False},
        ],
    }
    searched = {"propertyNames": {"enum": settings()}}
    parts["space"] = {**parts["space"], **searched}
    metric = {"$ref": "#/$defs/MetricConfig"}
    several = {"type": "array", "items": metric, "minItems": 1, "maxItems": 4}
    one = {"$ref": "#/$defs/ObjectiveConfig"}
    described = {name: parts["objective"][name] for name in ("default", "description")}
    parts["objective"] = {**described, "anyOf": [one, several]}
    parts["enqueue"] = {
        **parts["enqueue"],
        "items": {**parts["enqueue"]["items"], **searched},
    }
    parts["configurations"] = {
        **parts["configurations"],
        "additionalProperties": {**parts["configurations"]["additionalProperties"], **searched},
    }
    return {
        "$schema": DRAFT,
        "title": "scdfm sweep file",
        "description": "Which runs to try, how to compare them, and what it may cost.",
        "type": "object",
        "properties": parts,
        "required": ["name", "base"],
        "anyOf": [{"required": ["space"]}, {"required": ["configurations"]}],
        "additionalProperties": False,
        "$defs": {**run["$defs"], **schema["$defs"]},
    }
