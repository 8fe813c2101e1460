"""Tools and calls of them, in OpenAI's form with everything parsed: what chat templates accept."""

from typing import Any

from edgetune.data.formats._text import parse_json, writable
from edgetune.data.row import RowError


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
    return writable([_tool(tool) for tool in value], "tools", "tools") or None


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool in OpenAI's envelope, which templates look into."""
    if isinstance(tool.get("function"), dict):
        return {"type": "function", **tool}
    if not isinstance(tool.get("name"), str):
        raise RowError("tools", "a tool in 'tools' has no name")
    function = {key: value for key, value in tool.items() if key != "type"}
    return {"type": "function", "function": function}


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
