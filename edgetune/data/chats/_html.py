"""Text of a piece of HTML, in the Markdown that it was made from."""

import re
from html import unescape


def as_text(page: str) -> str:
    """A piece of HTML as the Markdown it came from, as far as that shows: paragraphs, lists, code, emphasis."""
    marks = (
        (r"<(style|script|head)\b.*?</\1>", ""),
        (r"<br\s*/?>", "\n"),
        (r"<li[^>]*>\s*(?:<p[^>]*>)?", "\n- "),
        (r"<pre[^>]*>\s*(?:<code[^>]*>)?", "\n```\n"),
        (r"(?:</code>)?\s*</pre>", "\n```\n"),
        (r"</?code[^>]*>", "`"),
        (r"</?(?:strong|b)(?:\s[^>]*)?>", "**"),
        (r"</?(?:em|i)(?:\s[^>]*)?>", "*"),
        (r"<h([1-6])[^>]*>", lambda match: "\n" + "#" * int(match[1]) + " "),
        (r"</(?:p|div|ul|ol|h[1-6]|table|tr)>", "\n\n"),
        (r"<[^>]+>", ""),
    )
    for pattern, mark in marks:
        page = re.sub(pattern, mark, page, flags=re.IGNORECASE | re.DOTALL)
    return re.sub(r"\n{3,}", "\n\n", unescape(page)).strip()
