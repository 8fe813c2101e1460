"""Distances between next-token distributions, in float64."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Natural log-probabilities [token, vocabulary] of logits, in float64."""
    raised = logits.astype(np.float64)
    raised -= raised.max(axis=1, keepdims=True)
    raised -= np.log(np.exp(raised).sum(axis=1, keepdims=True))
    return raised


@dataclass
class Distance:
    """How far one model's predictions are from another's. kl: KL divergence at every token, in nats. same: equal top tokens."""

    kl: np.ndarray
    same: np.ndarray

    def figures(self) -> dict[str, Any]:
        """Mean and 99th percentile of the divergence, share of equal top tokens, and the number of tokens."""
        return {
            "kl_mean": float(self.kl.mean()),
            "kl_99": float(np.quantile(self.kl, 0.99)),
            "top1": float(self.same.mean()),
            "tokens": len(self.kl),
        }


def distance(reference: Iterable[np.ndarray], other: Iterable[np.ndarray]) -> Distance:
    """From `reference` to `other`: log-probabilities [token, vocabulary] of the same rows (sum of p (log p - log q))."""
    kl, same = [], []
    for ours, theirs in zip(reference, other, strict=True):
        p, q = ours.astype(np.float64), theirs.astype(np.float64)
        kl.append((np.exp(p) * (p - q)).sum(axis=1))
        same.append(ours.argmax(axis=1) == theirs.argmax(axis=1))
    return Distance(np.concatenate(kl), np.concatenate(same))
