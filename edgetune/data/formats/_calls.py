"""Tools and calls of them, in OpenAI's form with everything parsed: what chat templates accept."""

from typing import Any

from edgetune.data.formats._text import parse_json, writable
from edgetune.data.row import RowError

VALUE_KEYS = frozenset(("default", "const", "enum", "examples", "example"))
"""Keys of a JSON schema under which null is a value."""


def read_tools(row: dict[str, Any]) -> list[Any] | None:
    """The row's tools, given as a list or as JSON text. Raises RowError: tools."""
    value = row.get("tools")
    if not value or value != value:
        return None
    if isinstance(value, str):
        if value.isspace():
            return None
        value = parse_json(value, "tools", "tools")
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise RowError("tools", "'tools' should be a list of objects, or the JSON text of one")
    return writable([_schema(_tool(tool)) for tool in value], "tools", "tools") or None


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool in OpenAI's envelope, which templates look into."""
    if isinstance(tool.get("function"), dict):
        return {"type": "function", **tool}
    if not isinstance(tool.get("name"), str):
        raise RowError("tools", "a tool in 'tools' has no name")
    function = {key: value for key, value in tool.items() if key != "type"}
    return {"type": "function", "function": function}


def _schema(value: Any) -> Any:
    """A tool without the null members that storing it beside others gave it; JSON Schema has a use for null only where it names a value."""
    if isinstance(value, dict):
        members = ((key, member if key in VALUE_KEYS else _schema(member)) for key, member in value.items())
        return {key: member for key, member in members if member is not None or key in VALUE_KEYS}
    return [_schema(element) for element in value] if isinstance(value, list) else value


def drop_foreign_nulls(turns: list[dict[str, Any]], tools: list[Any] | None) -> list[dict[str, Any]]:
    """Turns whose calls have no null arguments that their tools do not know: rows stored together get those of each other's tools."""
    if not tools or not any("tool_calls" in turn for turn in turns):
        return turns
    known = {tool["function"].get("name"): (tool["function"].get("parameters") or {}).get("properties") for tool in tools}
    for function in (call["function"] for turn in turns for call in turn.get("tool_calls", ())):
        properties = known.get(function["name"])
        if isinstance(properties, dict):
            arguments = function["arguments"].items()
            function["arguments"] = {name: value for name, value in arguments if value is not None or name in properties}
    return turns


def read_calls(value: Any) -> list[dict[str, Any]]:
    """Calls of tools: one or a list of {name, arguments} or of OpenAI's form, or the JSON text of it. Raises RowError: tool_call."""
    if isinstance(value, str):
        value = parse_json(value, "the call of a tool", "tool_call")
    result = [_call(item) for item in (value if isinstance(value, list) else [value])]
    if not result:
        raise RowError("tool_call", "the list of calls is empty")
    return writable(result, "the call of a tool", "tool_call")


def _call(item: Any) -> dict[str, Any]:
    function = item.get("function") or item if isinstance(item, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        raise RowError("tool_call", "the call of a tool should be an object with 'name' and 'arguments'")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = parse_json(arguments, "arguments", "tool_call") if arguments.strip() else {}
    if arguments is not None and not isinstance(arguments, dict):
        raise RowError("tool_call", f"'arguments' of {name!r} should be an object and is {type(arguments).__name__}")
    call = {"type": "function", "function": {"name": name, "arguments": arguments or {}}}
    return {"id": item["id"], **call} if isinstance(item.get("id"), str) and item["id"] else call
