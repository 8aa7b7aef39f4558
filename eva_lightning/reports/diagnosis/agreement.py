"""The agreement of engine and policy: their probabilities compared, before and after new weights.

Every number is a difference between the log-probs an engine reported and those the trainer finds for the same
tokens. What the numbers mean for a user is said by the findings at the end. No part of a training run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from eva_lightning.engines.base import Engine, RefreshedEngine, Sampling
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.policy.inputs import lay_out, trajectory_inputs
from eva_lightning.policy.loading import Policy
from eva_lightning.policy.logprobs import token_logprobs
from eva_lightning.policy.merged_weights import merged_weights
from eva_lightning.records import PATCH, Trajectory
from eva_lightning.reports.diagnosis.conversations import Probe, make_probe, picture, write_probes

FLOAT32_LARGEST = 5e-5
"""In float32 no log-prob may differ by more."""
HALF_MEAN = 0.02
"""In 16 bits single ones differ by 0.1 to 0.2, and that means nothing: the mean may not be above this."""
IMAGES = (0, 1, 4, 16)
"""Frames in the conversations that are measured."""
SAMPLING = Sampling(temperature=1.0, max_tokens=32)
VISION = "model.visual."
"""Where the names of the vision tower's weights begin."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far the log-probs of engine and trainer are apart."""

    largest: float
    """Largest absolute difference, in nats."""
    mean: float
    """Mean absolute difference, in nats."""
    tokens: int
    """Tokens compared."""

    def good(self, dtype: torch.dtype) -> bool:
        """Whether rounding alone explains it."""
        return self.largest <= FLOAT32_LARGEST if dtype == torch.float32 else self.mean <= HALF_MEAN


@dataclass(frozen=True, kw_only=True)
class VisionChange:
    """What the engine wrote of frames it knew, after a push that changed the vision tower alone."""

    old: Agreement
    """With the trainer's log-probs under the old weights: good if the engine used something old."""
    new: Agreement
    """With those under the new weights."""

    def seen(self, dtype: torch.dtype) -> bool | None:
        """Whether the engine used the new ones; None if the change is too small to tell."""
        if self.old.good(dtype) and self.new.good(dtype):
            return None
        return self.new.good(dtype)


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Likeliest tokens: turns of the engine beside the trainer's own."""

    equal: int
    """Conversations with the same tokens in every turn."""
    total: int
    """Conversations compared."""


def dtype_of(policy: Policy) -> torch.dtype:
    """The type of the weights."""
    return next(policy.model.parameters()).dtype


# --- what is measured


def agreement_of(
    policy: Policy, trajectories: Sequence[Trajectory], *, temperature: float = SAMPLING.temperature
) -> Agreement:
    """The engine's log-probs of these trajectories beside the trainer's."""
    ours, theirs = [], []
    training = policy.model.training
    device = next(policy.model.parameters()).device
    policy.model.eval()
    try:
        for trajectory in trajectories:
            inputs = trajectory_inputs(trajectory, policy, picture)
            with torch.no_grad():
                found = token_logprobs(
                    policy.model,
                    lay_out([inputs]).to(device),
                    temperature=temperature,
                    banned_ids=policy.renderer.banned_ids,
                )
            ours.append(found.logprobs.cpu())
            theirs += [value for turn in trajectory.turns for value in turn.logprobs]
    finally:
        policy.model.train(training)
    apart = (torch.cat(ours) - torch.tensor(theirs)).abs()
    return Agreement(largest=float(apart.max()), mean=float(apart.mean()), tokens=len(apart))


def by_images(policy: Policy, engine: Engine) -> dict[int, Agreement]:
    """The agreement by number of frames in a conversation."""
    return {
        images: agreement_of(policy, _write(policy, engine, _probes(policy, images)))
        for images in _shown_to(policy)
    }


def after_push(policy: Policy, engine: RefreshedEngine) -> Agreement:
    """The agreement after all weights changed and were handed over. Both are left as they were."""
    probes = [probe for images in _shown_to(policy) for probe in _probes(policy, images)]
    with _pushed(policy, engine, amount=0.01):
        return agreement_of(policy, _write(policy, engine, probes))


def vision_change(policy: Policy, engine: RefreshedEngine) -> VisionChange:
    """Whether frames that the engine knows are seen anew after the vision tower changed.

    Policy and engine are left as they were.
    """
    probes = _probes(policy, 4)
    _write(policy, engine, probes)
    with _pushed(policy, engine, amount=0.3, only=VISION):
        written = _write(policy, engine, probes)
        new = agreement_of(policy, written)
    return VisionChange(old=agreement_of(policy, written), new=new)


def after_sleep(policy: Policy, engine: RefreshedEngine) -> Agreement:
    """The agreement after the engine slept and woke up."""
    with engine.awake():
        pass
    return agreement_of(policy, _write(policy, engine, _probes(policy, min(1, max(_shown_to(policy))))))


def greedy(policy: Policy, engine: Engine) -> Likeness:
    """The engine's likeliest tokens beside those of the trainer's own generation, one turn at a time."""
    sampling = Sampling(temperature=0.0, max_tokens=SAMPLING.max_tokens)
    probes = [_probes(policy, images)[0] for images in _shown_to(policy)]
    own = TransformersEngine(policy, max_batch=1)
    try:
        expected = write_probes(own, probes, sampling)
    finally:
        own.close()
    written = _write(policy, engine, probes, sampling)
    equal = sum(a.token_ids == b.token_ids for a, b in zip(written, expected, strict=True))
    return Likeness(equal=equal, total=len(probes))


# --- how


@contextmanager
def whole_float32() -> Iterator[None]:
    """Within, no convolution of float32 is in TF32.

    That is how cuDNN embeds patches on a GPU, and not how vLLM does, so that they would differ by more than
    rounding. 16 bits are left as they are.
    """
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


def _shown_to(policy: Policy) -> tuple[int, ...]:
    """Frames in the conversations; none for a model without eyes."""
    return (0,) if policy.images is None else IMAGES


def _probes(policy: Policy, images: int) -> list[Probe]:
    square = policy.images.square if policy.images else PATCH
    return [make_probe(f"probe-{images}-{seed}", images, seed=seed, square=square) for seed in range(4)]


def _write(
    policy: Policy, engine: Engine, probes: Sequence[Probe], sampling: Sampling = SAMPLING
) -> list[Trajectory]:
    if isinstance(engine, RefreshedEngine) and not engine.holds_weights:
        _push(policy, engine)
    return write_probes(engine, probes, sampling)


def _push(policy: Policy, engine: RefreshedEngine) -> None:
    engine.take_weights(lambda: merged_weights(policy.backbone), engine.policy_version + 1)


@contextmanager
def _pushed(policy: Policy, engine: RefreshedEngine, *, amount: float, only: str = "") -> Iterator[None]:
    """Policy and engine with changed weights, and with the old ones again afterwards."""
    with changed(policy, amount=amount, only=only):
        _push(policy, engine)
        yield
    _push(policy, engine)


@contextmanager
def changed(policy: Policy, *, amount: float, only: str = "", seed: int = 0) -> Iterator[None]:
    """Add noise to every weight whose name begins with `only`.

    It is as large as `amount` times the weight's own root mean square. The old bits wait in host memory and
    are put back.
    """
    weights = [value for name, value in policy.backbone.named_parameters() if name.startswith(only)]
    kept = [weight.detach().to("cpu", copy=True) for weight in weights]
    try:
        with torch.no_grad():
            for number, weight in enumerate(weights):
                dice = torch.Generator(weight.device).manual_seed(seed + number)
                noise = torch.randn(weight.shape, generator=dice, device=weight.device)
                weight.add_(noise * amount * weight.float().square().mean().sqrt())
        yield
    finally:
        with torch.no_grad():
            for weight, old in zip(weights, kept, strict=True):
                weight.copy_(old)
