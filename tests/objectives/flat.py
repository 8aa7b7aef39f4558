"""Flat micro-batches for tests: random log-probs of trajectories of given lengths, and how to cut them up."""

import torch


def flat(lengths):
    """Which trajectory each token belongs to."""
    return torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))


def logprobs(lengths, seed=0, spread=1.0, like=None):
    """Negative float64 numbers, one for each token; `like` others, up to `spread` away."""
    dice = torch.Generator().manual_seed(seed)
    drawn = torch.rand(sum(lengths), generator=dice, dtype=torch.float64)
    return -0.1 - 2 * drawn if like is None else like.detach() + spread * (2 * drawn - 1)


def cut(lengths, values):
    """The same tokens, one trajectory at a time."""
    return torch.split(values, lengths)
