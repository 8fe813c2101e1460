"""A job's events in words."""

from typing import Any


def describe_event(event: dict[str, Any]) -> str:
    """One event as a sentence. What the texts of events hold may come from a model or from data: pass it through `safe_text` to show it."""
    kind, step = event["kind"], event.get("step")

    if kind == "step":
        return f"step {step}: loss {event['loss']:.4f}"
    if kind == "evaluated":
        better = "the model before training" if not step else "improved" if event["improved"] else "not improved"
        return f"step {step}: held-out loss {event['loss']:.4f}, {describe_measures(event)}: {better}"
    if kind == "measured":
        return "; ".join(describe_assessment(event))
    if kind == "sample":
        return f"step {step}: asked “{last_line(event['prompt'])}”, it answered “{event['answer']}”"

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

    # Notes and warnings bring their own text, and events of a later version at least their kind.
    return str(event.get("text") or kind)


def describe_measures(event: dict[str, Any]) -> str:
    """What an evaluation says beside the loss."""
    if "perplexity" in event:
        return f"perplexity {event['perplexity']:.2f}"
    if "reward" in event:
        distance = f", {event['kl']:.3f} nats a token from the model before" if "kl" in event else ""
        return f"reward {event['reward']:.3f}, {event['length']:.0f} tokens an answer{distance}"
    margin = f"margin {event['margin']:.3f}" if "margin" in event else ""
    if "accuracy" not in event:
        return margin
    low, high = event["interval"]
    margin = f", {margin}" if margin else ""
    return f"{event['accuracy']:.0%} of {event['count']} preferred as voted ({low:.0%} to {high:.0%}){margin}"


def describe_assessment(event: dict[str, Any]) -> list[str]:
    """What a finished reward model is worth, a sentence each."""
    low, high = event["interval"]
    shorter = f"the shorter answer was preferred in {event['shorter_chosen']:.0%} of the pairs"
    return [
        f"held-out pairs ranked as voted: {event['accuracy']:.0%} ({low:.0%} to {high:.0%}, {event['count']} pairs)",
        f"calibration: its certainty is off by {event['calibration_error']:.0%} on average (sure of {event['mean_certainty']:.0%})",
        f"reward and length: correlation {event['length_correlation']:+.2f}; {shorter}",
    ]


def last_line(prompt: str) -> str:
    """The last line of a prompt, which is what was asked; the names of roles that templates write are left out."""
    lines = [line.strip() for line in prompt.splitlines() if line.strip()]
    spoken = [line for line in lines if line.lower().rstrip(":") not in ("user", "assistant", "system")]
    return (spoken or lines or [""])[-1][:160]
