"""Token ids for trajectories that nobody sampled with this tokenizer, and frames as this model takes them.

A teacher's words become turns to learn from.

Sampled ids are never touched: where they spell the turn's text, they stay. This is for what others did (SFT,
KTO); a policy's own trajectories already hold their ids, and frames of its own squares.
"""

from __future__ import annotations

from dataclasses import replace

from eva_lightning.policy.renderer import Renderer
from eva_lightning.records import Message, Trajectory
from eva_lightning.video.sampling import cut_to


def tokenized(trajectory: Trajectory, renderer: Renderer) -> Trajectory:
    """The trajectory with ids and squares of this renderer; the same object if it has them."""
    if renderer.square is not None:
        trajectory = _in_squares(trajectory, renderer.square)
    if trajectory.prompt_ids and all(
        turn.token_ids and renderer.decode(turn.token_ids) == turn.text for turn in trajectory.turns
    ):
        return trajectory
    before = list(trajectory.prompt)
    turns = []
    for turn in trajectory.turns:
        ids = renderer.turn_ids(turn.text)
        following: list[int] = []
        if turn.observation is not None:
            message = Message(role="tool", parts=turn.observation.parts)
            following = renderer.follow(before, message, cut=False)
            before += [Message(role="assistant", parts=(turn.text,)), message]
        turns.append(
            replace(turn, token_ids=ids, logprobs=[0.0] * len(ids), cut=False, observation_ids=following)
        )
    return replace(trajectory, prompt_ids=renderer.opening(trajectory.prompt), turns=turns)


def _in_squares(trajectory: Trajectory, square: int) -> Trajectory:
    """The same, shown in these squares."""
    if all(frame.square == square for frame in trajectory.frames):
        return trajectory
    return replace(
        trajectory,
        prompt=tuple(replace(one, parts=cut_to(one.parts, square)) for one in trajectory.prompt),
        turns=[
            turn
            if turn.observation is None
            else replace(
                turn, observation=replace(turn.observation, parts=cut_to(turn.observation.parts, square))
            )
            for turn in trajectory.turns
        ],
    )
