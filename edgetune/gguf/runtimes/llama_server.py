"""llama-server, llama.cpp's own: its command line, as scripts that run it from any folder.

It runs the chat template with its own Jinja, which was seen to write the same prompts but for one thing: `trim` there leaves white
space that is not ASCII.
"""

from edgetune.gguf.runtimes.product import Layout, Product, with_date_written_out

TITLE = "llama-server"
TEMPLATE = "chat_template.jinja"


def layout(product: Product, file_name: str) -> Layout:
    """The GGUF, scripts for both kinds of shell, and the command itself. A template that writes the date comes with it written out."""
    dated = with_date_written_out(product.template) if product.dated else None
    arguments = _arguments(product, file_name, dated is not None)
    command = " ".join(["llama-server", *map(_shell, arguments)])
    texts = {
        "serve.sh": f'#!/bin/sh\ncd "$(dirname "$0")" || exit 1\nexec {command} "$@"\n',
        "serve.bat": "\r\n".join(["@echo off", 'cd /d "%~dp0"', " ".join(["llama-server", *map(_batch, arguments)]) + " %*", ""]),
        "README.txt": _readme(product, command, dated is not None),
    }
    if dated is not None:
        texts[TEMPLATE] = dated
    return Layout(file_name, texts)


def _arguments(product: Product, file_name: str, dated: bool) -> list[str]:
    """--jinja runs the chat template itself; without it llama-server uses the known template that looks most like it."""
    sampling = product.sampling
    return [
        *("--model", file_name, "--alias", product.name, "--jinja"),
        *(("--chat-template-file", TEMPLATE) if dated else ()),
        *("--ctx-size", str(product.window), "--temp", str(sampling.temperature), "--top-k", str(sampling.top_k)),
        *("--top-p", str(sampling.top_p), "--min-p", str(sampling.min_p), "--repeat-penalty", str(sampling.repeat_penalty)),
        *(argument for stop in product.stops for argument in ("--reverse-prompt", _escaped(stop))),
        *("--host", "127.0.0.1", "--port", "8080"),
    ]


def _escaped(text: str) -> str:
    """A text that ends an answer, on one line: llama-server reads the escapes (common/common.cpp, `string_process_escapes`)."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def _shell(argument: str) -> str:
    import shlex

    return shlex.quote(argument)


def _batch(argument: str) -> str:
    """An argument in a .bat file, where % stands for variables."""
    argument = argument.replace("%", "%%")
    return f'"{argument}"' if any(c in argument for c in " &()^;,=<>|") else argument


def _readme(product: Product, command: str, dated: bool) -> str:
    date = f"""
{TEMPLATE} is the model's chat template with the date it was prepared with ({product.template.date}) instead of today's.
"""
    return f"""This folder is for llama-server, which is part of llama.cpp. serve.sh (Windows: serve.bat) starts it; further options
are passed on to llama-server, such as --port 9000. The same by hand, in this folder:

    {command}

It answers at http://127.0.0.1:8080, in a browser and as an OpenAI-compatible server. The context of {product.window} tokens is
shared by all conversations; the model accepts up to {product.context}, and more needs more memory.
{date if dated else ""}"""
