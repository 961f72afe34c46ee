"""JSON Schema of run files as users write them: a preset may fill in what is left out."""

from pydantic.json_schema import JsonSchemaValue

from cluster.settings.config import RunConfig
from cluster.settings.presets import NAMES, preset

DRAFT = "https://json-schema.org/draft/2020-12/schema"
PRESET = "Settings of a published or a small run; what this file says wins"


def run_schema() -> JsonSchemaValue:
    """The schema of a run file; an unknown setting is refused, every setting is described."""
    schema = RunConfig.model_json_schema()
    settings = run_settings(schema)
    return {
        "$schema": DRAFT,
        "title": "scdfm run file",
        "description": "One training run. Paths resolve from the working directory.",
        "type": "object",
        "properties": settings,
        "required": ["store", "name"],
        "anyOf": [{"required": ["split"]}, _preset_with_a_split()],
        "additionalProperties": False,
        "$defs": schema["$defs"],
    }


def _preset_with_a_split() -> JsonSchemaValue:
    """A file may leave its split out where the preset that it names has one."""
    names = [name for name in NAMES if "split" in preset(name)]
    return {"required": ["preset"], "properties": {"preset": {"enum": names}}}


def run_settings(schema: JsonSchemaValue) -> JsonSchemaValue:
    """The settings of a run file by name, in the forms that a file may give them.

    Args:
        schema: Of RunConfig; its definitions are shared by several settings and are made to
            allow the short forms, too.
    """
    settings = {**schema["properties"]}
    graph, switch = settings["graph"], settings["compile"]
    kinds = schema["$defs"]["GraphConfig"]["properties"]["kind"]["enum"]
    # A list of edges needs its path; YAML reads a bare on as true.
    short = {"enum": [kind for kind in kinds if kind != "edges"]}
    settings["graph"] = _either(graph, {"$ref": graph["$ref"]}, short, without="$ref")
    sampling = schema["$defs"]["SamplingConfig"]["properties"]
    bases = schema["$defs"]["MeanConfig"]["properties"]["base"]["enum"]
    sampling["mean"] = _either(
        sampling["mean"], {"$ref": sampling["mean"]["$ref"]}, {"enum": bases}, without="$ref"
    )
    settings["compile"] = _either(
        switch, {"enum": switch["enum"]}, {"type": "boolean"}, without="enum"
    )
    return {"preset": {"enum": list(NAMES), "description": PRESET}, **settings}


def _either(setting: JsonSchemaValue, *forms: JsonSchemaValue, without: str) -> JsonSchemaValue:
    """A setting that may take several forms, with its description and default."""
    kept = {name: value for name, value in setting.items() if name not in (without, "type")}
    return {**kept, "anyOf": list(forms)}
