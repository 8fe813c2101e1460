"""A job's events in words."""

from typing import Any


def told(event: dict[str, Any]) -> str:
    """One event as a sentence. What the texts of events hold may come from a model or from data: pass it through `safe_text` to show it."""
    kind, step = event["kind"], event.get("step")
    if kind == "step":
        return f"step {step}: loss {event['loss']:.4f}"
    if kind == "evaluated":
        return f"step {step}: held-out loss {event['loss']:.4f}, {_compared(event)}"
    if kind == "sample":
        return f"step {step}: asked “{question(event['prompt'])}”, it answered “{event['answer']}”"
    if kind == "started":
        again = f" from step {event['from_step']}" if event.get("from_step") else ""
        return f"training begins{again} on {event['device']} in {event['dtype']}: {event['trained']:,} weights, {event['rows']:,} rows"
    if kind == "finished":
        best = "" if event.get("last_step") in (None, event["step"]) else ", the best held-out one,"
        return f"finished: the result is that of step {event['step']}{best} in {event['result']}/"
    if kind == "failed":
        error = event["error"]
        return f"failed: {error['title']}. {error['cause']} {error['remedy']}".strip()
    if kind == "launched":
        return "a worker process took the run"
    if kind == "checkpoint":
        return f"step {step}: checkpoint saved{', the best so far' if event['best'] else ''}"
    return str(event.get("text") or kind)


def _compared(event: dict[str, Any]) -> str:
    if not event["step"]:
        return f"perplexity {event['perplexity']:.2f}: the base before training"
    return f"perplexity {event['perplexity']:.2f}: {'improved' if event['improved'] else 'not improved'}"


def question(prompt: str) -> str:
    """The last line of a prompt, which is what was asked; the names of roles that templates write are left out."""
    lines = [line.strip() for line in prompt.splitlines() if line.strip()]
    spoken = [line for line in lines if line.lower().rstrip(":") not in ("user", "assistant", "system")]
    return (spoken or lines or [""])[-1][:160]
