"""KTO's reference point: what was written for one question under another, frames and all."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from eva_lightning.faults import UsageError
from eva_lightning.modules import kto
from eva_lightning.objectives.kto import KTOSettings, mismatched
from eva_lightning.policy.inputs import trajectory_inputs
from tests.modules.stages import ONE_EACH, PER_TOKEN, Batches, Watching, fit, make, marked, trainer


@pytest.fixture
def feedback(taught):
    """Two attempts at each of two questions, about different clips, under one and the same clip name."""

    def renamed(one):
        named = {"clips": (replace(one.task.clips[0], id="v"),)}
        turns = [replace(turn, observation=_called_v(turn.observation)) for turn in one.turns]
        return replace(one, task=replace(one.task, **named), turns=turns)

    first, second = renamed(taught[0]), renamed(taught[3])
    return marked([first, replace(first, replica=1), second, replace(second, replica=1)])


def _called_v(seen):
    if seen is None:
        return None
    return replace(seen, parts=tuple(p if isinstance(p, str) else replace(p, clip="v") for p in seen.parts))


def naive(module, policy, question, other):
    """The plain way: the question's ids, the other's ids behind them, the other's frames, all logits."""
    mixed = replace(other, prompt=question.prompt, prompt_ids=question.prompt_ids)
    inputs = trajectory_inputs(mixed, policy, module.pixels(other))
    ids = inputs.ids[None]
    with torch.no_grad():
        logits = policy.backbone(
            input_ids=ids,
            pixel_values=inputs.pixel_values,
            image_grid_thw=inputs.grid,
            mm_token_type_ids=(ids == policy.renderer.image_token_id).int(),
        ).logits[0]
    logits[:, list(policy.renderer.banned_ids)] = -1e9
    table = logits.log_softmax(dim=1)[:-1]
    return float(table.gather(1, inputs.ids[1:, None])[:, 0][inputs.loss_mask[1:]].sum())


@pytest.mark.parametrize("packing", [None, ONE_EACH], ids=["one pass", "four passes"])
def test_z_is_the_mean_over_pairs_of_different_questions(
    packing, feedback, schooled, tiny_folder, monkeypatch
):
    pairs, watching = [], Watching(schooled)
    monkeypatch.setattr(kto, "mismatched", lambda *two: pairs.append(two) or mismatched(*two))
    module = make("kto", tiny_folder, packing=packing, lr=0.0, objective=PER_TOKEN)
    fit(module, feedback, callbacks=[watching])
    assert len(pairs) == 4 and all(one.task.id != other.task.id for one, other in pairs)
    with module.reference.policy(module.device) as frozen:
        ratios = [
            (naive(module, module.policy, *pair) - naive(module, frozen, *pair)) / pair[1].ledger.written
            for pair in pairs
        ]
    assert watching.told("kl") == [pytest.approx(sum(ratios) / 4, abs=1e-4)]
    assert min(ratios) > 0.1


def test_where_the_policy_got_worse_z_is_0(feedback, schooled, tiny_folder):
    worse = {name: -value if "lm_head" in name else value for name, value in schooled.items()}
    watching = Watching(worse)
    fit(make("kto", tiny_folder, objective=PER_TOKEN), feedback, callbacks=[watching])
    assert watching.told("kl") == [0]


def test_borrowed_frames_come_from_the_other_clip(feedback, tiny_folder):
    module = make("kto", tiny_folder)
    one, other = feedback[0], feedback[2]
    mixed = mismatched(one, other)
    assert mixed.prompt == one.prompt and [turn.text for turn in mixed.turns] == [t.text for t in other.turns]
    assert len(mixed.frames) == len(other.frames) > 1
    borrowed, theirs, mine = module.pixels(mixed), module.pixels(other), module.pixels(one)
    same = [np.array_equal(borrowed(f), theirs(g)) for f, g in zip(mixed.frames, other.frames, strict=True)]
    assert all(same)
    assert not all(np.array_equal(theirs(frame), mine(frame)) for frame in other.frames)
    assert other.frames[0].clip == "v" and one.turns[0].observation.frames[0].clip == "v"  # left as they were


def test_a_batch_of_one_question_has_no_reference_point_and_goes_on(feedback, schooled, tiny_folder):
    watching = Watching(schooled)
    module = make("kto", tiny_folder, objective=PER_TOKEN)
    fit(module, feedback[:2], callbacks=[watching])
    assert watching.told("kl") == [0] and module.iteration == 1


def test_a_trajectory_without_a_mark_is_refused(taught, tiny_folder):
    with pytest.raises(UsageError, match="is not marked good or bad: run eva label"):
        fit(make("kto", tiny_folder), taught)


class Counted(Batches):
    """Batches that know the balance of the data: so many good and bad ones."""

    def __init__(self, good, bad, *batches):
        super().__init__(*batches)
        self.n_desirable, self.n_undesirable = good, bad


AUTOMATIC = KTOSettings(length_normalize="token")


def weight_of(module, path, good, bad, batches, **settings):
    """The weight of good trajectories while a module is trained; a checkpoint is written at the end."""
    watching = Watching()
    run = trainer(callbacks=[watching], **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.fit(module, Counted(good, bad, *batches), ckpt_path=path if path.exists() else None)
    run.save_checkpoint(path)
    assert watching.told("desirable_weight") == [pytest.approx(module.objective.desirable_weight)]
    return module.objective.desirable_weight


def test_good_ones_weigh_what_balances_the_data_told_once_and_kept_by_a_run_that_goes_on(
    feedback, tiny_folder, tmp_path, caplog
):
    def run(good, bad, epochs, objective=AUTOMATIC, name="a.ckpt"):
        module = make("kto", tiny_folder, objective=objective)
        return weight_of(module, tmp_path / name, good, bad, [feedback], max_epochs=epochs)

    with caplog.at_level("INFO"):
        assert run(6300, 3700, 1) == pytest.approx(3700 / 6300 * 7 / 6)
    said = "desirable_weight 0.69, for 6300 good and 3700 bad trajectories (recommended: 0.59 to 0.78)"
    assert [line for line in caplog.messages if "desirable_weight" in line] == [said]
    assert run(1, 1, 2) == pytest.approx(3700 / 6300 * 7 / 6), "the run goes on with the weight it began with"
    assert run(1, 1, 1, name="b.ckpt") == pytest.approx(7 / 6)
    assert run(1, 1, 1, KTOSettings(desirable_weight=0.5), name="c.ckpt") == 0.5


def test_data_that_do_not_know_their_balance_want_a_weight(feedback, tiny_folder):
    with pytest.raises(UsageError, match="nobody tells how many .*set model.objective.desirable_weight"):
        fit(make("kto", tiny_folder, objective=AUTOMATIC), feedback)
