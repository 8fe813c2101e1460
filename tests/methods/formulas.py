"""The losses of preference training, written down from their papers in plain numbers; no library of tensors takes part."""

import math
from collections.abc import Sequence


def sigmoid(x: float) -> float:
    """The logistic function."""
    return 1 / (1 + math.exp(-x))


def dpo(chosen: float, rejected: float, beta: float) -> float:
    """Rafailov et al. 2023, arXiv:2305.18290, equation 7; chosen, rejected: log-ratios to the reference."""
    return -math.log(sigmoid(beta * (chosen - rejected)))


def ipo(chosen: float, rejected: float, tau: float) -> float:
    """Azar et al. 2023, arXiv:2310.12036, equation 17; log-ratios per token."""
    return ((chosen - rejected) - 1 / (2 * tau)) ** 2


def robust(chosen: float, rejected: float, beta: float, wrong: float) -> float:
    """Chowdhury et al. 2024, arXiv:2403.00409, equation 12: what plain DPO would be, were no vote wrong."""
    right = dpo(chosen, rejected, beta)
    return ((1 - wrong) * right - wrong * dpo(rejected, chosen, beta)) / (1 - 2 * wrong)


def apo_zero(chosen: float, rejected: float, beta: float) -> float:
    """D'Oosterlinck et al. 2024, arXiv:2408.06266, equation 7."""
    return (1 - sigmoid(beta * chosen)) + sigmoid(beta * rejected)


def apo_down(chosen: float, rejected: float, beta: float) -> float:
    """D'Oosterlinck et al. 2024, arXiv:2408.06266, equation 8."""
    return sigmoid(beta * chosen) + (1 - sigmoid(beta * (chosen - rejected)))


def kto(log_ratio: float, good: bool, kl: float, beta: float) -> float:
    """Ethayarajh et al. 2024, arXiv:2402.01306, equation 7, both weights 1; kl: the reference point, not below 0."""
    return 1 - sigmoid(beta * (log_ratio - kl)) if good else 1 - sigmoid(beta * (kl - log_ratio))


def bradley_terry(chosen: float, rejected: float) -> float:
    """Minus the log-probability that the chosen answer wins, by Bradley and Terry 1952; rewards of the two."""
    return -math.log(sigmoid(chosen - rejected))


def simpo(chosen: float, rejected: float, beta: float, gamma: float) -> float:
    """Meng et al. 2024, arXiv:2405.14734, equation 6; mean log-probabilities per token."""
    return -math.log(sigmoid(beta * chosen - beta * rejected - gamma))


def cpo(chosen: float, rejected: float, beta: float) -> float:
    """Xu et al. 2024, arXiv:2401.08417, equation 3 without the behaviour-cloning term; summed log-probabilities."""
    return -math.log(sigmoid(beta * (chosen - rejected)))


def odds_ratio(chosen: float, rejected: float) -> float:
    """Hong et al. 2024, arXiv:2403.07691, equation 7; mean log-probabilities per token."""

    def log_odds(mean: float) -> float:
        return mean - math.log(1 - math.exp(mean))

    return -math.log(sigmoid(log_odds(chosen) - log_odds(rejected)))


def rloo(rewards: Sequence[float]) -> list[float]:
    """Ahmadian et al. 2024, arXiv:2402.14740, section 2.3: each reward less the mean of the others of its prompt."""
    total = sum(rewards)
    return [reward - (total - reward) / (len(rewards) - 1) for reward in rewards]
