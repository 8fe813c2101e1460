"""Thinking and tool calls that programs write into the text of an answer."""

import html
import re

DETAILS = re.compile(r"<(/?)details\b([^>]*)>", re.IGNORECASE)
SUMMARY = re.compile(r"<summary>.*?</summary>", re.IGNORECASE | re.DOTALL)
TAGS = re.compile(r"<(think|thinking|thought)>(.*?)(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL)


def without_details(text: str) -> tuple[str, str]:
    """(text, thinking) of an answer with `<details>` blocks as Open WebUI writes them; blocks of other types are cut as well."""
    kept: list[str] = []
    thoughts: list[str] = []
    depth, start, at, attributes = 0, 0, 0, ""
    for tag in DETAILS.finditer(text):
        if not tag[1]:
            if depth == 0:
                kept.append(text[at : tag.start()])
                start, attributes = tag.end(), tag[2]
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                if 'type="reasoning"' in attributes:
                    thoughts.append(_quoted(text[start : tag.start()]))
                elif "type=" not in attributes:
                    kept.append(text[start : tag.start()])  # written by the model itself, for readers
                at = tag.end()
    if depth == 0:
        kept.append(text[at:])
    elif 'type="reasoning"' in attributes:
        thoughts.append(_quoted(text[start:]))  # stopped while it was thinking
    return "".join(kept).strip(), "\n\n".join(thought for thought in thoughts if thought)


def _quoted(block: str) -> str:
    """A block's text: without its summary, HTML's escapes and the marks of a quotation."""
    lines = html.unescape(SUMMARY.sub("", block)).strip().split("\n")
    return "\n".join(line.removeprefix(">").removeprefix(" ") for line in lines).strip()


def without_tags(text: str) -> tuple[str, str]:
    """(text, thinking) of an answer with `<think>` blocks, closed or cut off."""
    thoughts = [match[2].strip() for match in TAGS.finditer(text)]
    return TAGS.sub("", text).strip(), "\n\n".join(thought for thought in thoughts if thought)
