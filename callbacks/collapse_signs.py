"""Signs of a collapse: what is wrong with the metrics of one iteration, by name. They keep nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eva_lightning.faults import UsageError

_SLACK = 1e-6
"""Metrics are float32: 0.8 comes back as 0.80000001."""


@dataclass(frozen=True, kw_only=True)
class CollapseSigns:
    """From where on a metric is a sign. One that is not logged is not watched."""

    looked: float = 0.2
    """The least share of trajectories that look at least once; 0 does not watch it."""
    well_formed: float = 0.5
    """The least share of trajectories whose turns are all well-formed; 0 does not watch it."""
    calls_worked: float = 0.8
    """The least share of calls that worked; 0 does not watch it."""
    truncated: float = 0.3
    """The largest share of trajectories that a limit ended, of turns or of tokens; 1 does not watch it."""
    zero_variance_share: float = 0.8
    """The largest share of groups whose rewards are all equal, while accuracy is below `solved`; 1 does not
    watch it."""
    clip_high: float = 0.2
    """The largest share of tokens whose ratio the upper clip holds; 1 does not watch it."""
    mismatch: float = 0.03
    """The largest divergence (k3, a token) of the engine that wrote from the policy that learns; 0.01 suits
    text without images. Infinity does not watch it."""
    entropy_fall: float = 0.5
    """The largest share of its entropy that the policy may lose within `window`, while accuracy is below
    `solved`; 1 does not watch it."""
    window: int = 20
    """Iterations over which the fall of the entropy is measured."""
    solved: float = 0.8
    """The accuracy from which attempts may agree, and the policy may be sure of itself: it is right."""

    def __post_init__(self) -> None:
        if self.window < 1:
            raise UsageError(f"CollapseSigns: window is {self.window}; want 1 or more")

    def found(self, metrics: Mapping[str, float], entropies: Sequence[float] = ()) -> dict[str, str]:
        """What is wrong, by name. `entropies` are those of the last iterations, this one's last."""
        signs = self._too_low(metrics) | self._too_high(metrics)
        if metrics.get("train/accuracy", 0.0) < self.solved:
            signs |= self._flat(metrics) | self._fallen(entropies)
        return signs

    def _too_low(self, metrics: Mapping[str, float]) -> dict[str, str]:
        floors = {
            "looked": (self.looked, "of trajectories look at the video"),
            "well_formed": (self.well_formed, "of trajectories are well-formed"),
            "calls_worked": (self.calls_worked, "of calls work"),
        }
        values = {name: metrics.get(f"train/{name}", 1.0) for name in floors}
        return {
            name: f"only {values[name]:.0%} {what} (floor {floor:.0%})"
            for name, (floor, what) in floors.items()
            if values[name] < floor - _SLACK
        }

    def _too_high(self, metrics: Mapping[str, float]) -> dict[str, str]:
        signs = {}
        cut, clipped = metrics.get("train/truncated", 0.0), metrics.get("train/clip/high", 0.0)
        apart = metrics.get("train/mismatch/k3", 0.0)
        if cut > self.truncated + _SLACK:
            signs["truncated"] = f"a limit ends {cut:.0%} of trajectories (at most {self.truncated:.0%})"
        if clipped > self.clip_high + _SLACK:
            signs["clip_high"] = (
                f"the upper clip holds {clipped:.0%} of tokens (at most {self.clip_high:.0%})"
            )
        if apart > self.mismatch + _SLACK:
            signs["mismatch"] = f"engine and policy are {apart:.2g} apart a token (at most {self.mismatch:g})"
        return signs

    def _flat(self, metrics: Mapping[str, float]) -> dict[str, str]:
        flat = metrics.get("train/zero_variance_share", 0.0)
        if flat <= self.zero_variance_share + _SLACK:
            return {}
        told = f"in {flat:.0%} of groups all rewards are equal: nothing is learned from them"
        return {"zero_variance_share": told}

    def _fallen(self, entropies: Sequence[float]) -> dict[str, str]:
        if self.entropy_fall >= 1 or not entropies:
            return {}
        highest, now = max(entropies[-self.window :]), entropies[-1]
        if now >= highest * (1 - self.entropy_fall):
            return {}
        return {"entropy": f"entropy fell from {highest:.3g} to {now:.3g}"}
