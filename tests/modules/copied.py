"""A real engine with a copy of the policy's weights, fast to start: what vLLM is to the modules."""

from contextlib import contextmanager

import torch

from eva_lightning.engines.base import RefreshedEngine
from eva_lightning.engines.transformers_engine import TransformersEngine
from eva_lightning.policy.loading import PolicyConfig, load_policy


class Copied(TransformersEngine, RefreshedEngine):
    """Begins with the checkpoint's weights and writes with what it was handed; notes the versions."""

    def __init__(self, policy):
        super().__init__(load_policy(PolicyConfig(path=policy.path, dtype="float32")))
        self.taken = []

    def take_weights(self, weights, version):
        assert not self._seats, "something is being written"
        strange = self.policy.backbone.load_state_dict(dict(weights()), strict=False).unexpected_keys
        assert not strange
        self.policy_version, self.holds_weights = version, True
        self.taken.append(version)


class Deaf(Copied):
    """Keeps the weights it began with."""

    def take_weights(self, weights, version):
        self.taken.append(version)


class Forgetful(Copied):
    """Sleeps between rollouts, and its weights are gone then."""

    awakened = False

    @contextmanager
    def awake(self):
        assert self.holds_weights and not self.awakened
        self.awakened = True
        yield
        self.awakened = self.holds_weights = False

    async def write(self, context, sampling):
        assert self.awakened
        return await super().write(context, sampling)


class Shelf(Copied):
    """One engine for all ranks: they read what was handed over from one file whenever they begin to write."""

    shared = True
    file = None

    def take_weights(self, weights, version):
        super().take_weights(weights, version)
        next(iter(weights()))  # an engine may go through them again, and may give up on the way
        torch.save(dict(weights()), self.file)

    @contextmanager
    def awake(self):
        self.policy.backbone.load_state_dict(torch.load(self.file), strict=False)
        yield
