import html

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html

from eva_lightning.callbacks import TrajectoryLog
from eva_lightning.callbacks.trajectory_log import from_low_to_high
from eva_lightning.faults import VideoError
from eva_lightning.files import store
from eva_lightning.records import Observation, Score, ToolCall, Trajectory, Turn
from eva_lightning.reports.contact_sheet import contact_sheet, save_contact_sheet
from eva_lightning.reports.trajectory_markdown import markdown
from eva_lightning.reports.trajectory_tables import LONGEST, plain, tables
from tests.callbacks.acting import Acting, fit, loader, trainer
from tests.making import StillWorld, frame, task, trajectory


def board(folder):
    found = EventAccumulator(str(folder), size_guidance={"tensors": 0, "images": 0})
    found.Reload()
    return found


def pixels(ref):
    return StillWorld().pixels(None, ref)


def test_every_second_iteration_is_written_whole_and_readable(tmp_path):
    fit(tmp_path, Acting(), [TrajectoryLog(every=2)], iterations=5)
    files = sorted(path.name for path in (tmp_path / "trajectories").iterdir())
    assert files == ["iteration-000002.jsonl", "iteration-000004.jsonl"]
    rows = store.read(tmp_path / "trajectories/iteration-000002.jsonl", Trajectory)
    assert rows == [trajectory(), trajectory(answer="C", replica=1)]


def test_evaluations_are_written_by_stage_and_iteration(tmp_path):
    log, module = TrajectoryLog(every=100), Acting()
    fit(tmp_path, module, [log], iterations=3, validate=1)
    trainer(tmp_path, [log]).test(module, loader(1), verbose=False)
    files = sorted(path.name for path in (tmp_path / "evaluations").iterdir())
    assert files == ["test-000003.jsonl", "validate-000003.jsonl"]
    assert not (tmp_path / "trajectories").exists()


def test_tensorboard_shows_tables_and_frames(tmp_path):
    logger = TensorBoardLogger(tmp_path, name=None, version="")
    fit(tmp_path, Acting(), [TrajectoryLog(every=2, count=1)], iterations=4, logger=logger, validate=1)
    seen = board(tmp_path)
    assert [event.step for event in seen.Tensors("trajectories/1/text_summary")] == [2, 4]
    text = seen.Tensors("trajectories/1/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "What colour?" in text and "2 frames of 84x56 at 0.00, 1.00 s" in text
    assert seen.Images("trajectories/1")[0].width > 2 * 84
    assert seen.Images("evaluations-validate/1")[0].step == 4


def test_a_video_that_is_gone_is_told_and_training_goes_on(tmp_path):
    class Gone(Acting):
        def pixels(self, made):
            def read(ref):
                raise VideoError("v.mp4: is not there")

            return read

    logger = TensorBoardLogger(tmp_path, name=None, version="")
    with pytest.warns(UserWarning, match=r"v\.mp4: is not there"):
        fit(tmp_path, Gone(), [TrajectoryLog(every=1, count=1)], iterations=1, logger=logger)
    text = board(tmp_path).Tensors("trajectories/1/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "can not be read again: v.mp4: is not there" in text


NASTY = "a | b\n<script>alert(1)</script> **bold** [x](javascript:1) `code` \\| ~~s~~ # h &lt; \x00\ud800 end"


def test_no_text_of_the_model_leaves_its_cell():
    call = ToolCall(name="x|y", arguments={"a": "|\n"}, text="")
    turn = Turn(text=NASTY, calls=(call,), observation=Observation(parts=("no",), error=NASTY))
    made = trajectory(turns=[turn], answer=NASTY, scores={"accuracy": Score(value=1.0, reason=NASTY)})
    page = markdown_to_safe_html(markdown(tables(made)))
    assert page.count("<tr>") == 2 + len([row for row in markdown(tables(made)).splitlines() if row]) - 4
    assert page.count("<td>") == 2 * (page.count("<tr>") - 2) + 2
    for word in ("<script", "<strong", "<a ", "<code", "<h1", "<del"):
        assert word not in page
    assert "**bold** [x](javascript:1) `code` \\| ~~s~~ # h &lt; " in html.unescape(page)


def test_a_cell_is_cut_where_it_gets_too_long():
    assert plain("x" * (LONGEST + 7)) == "x" * LONGEST + "... (7 characters more)"


def test_the_tables_tell_answer_gold_rewards_and_advantage():
    scores = {"accuracy": Score(value=1.0, reason="chose B"), "format": Score(value=0.5, weight=0.2)}
    text = markdown(tables(trajectory(scores=scores, advantage=-1.25)))
    for row in ("| answer | B |", "| gold | B |", "| accuracy | 1: chose B |", "| format | 0.5 x 0.2 |"):
        assert row in text
    assert "| reward | 1.1 |" in text and "| advantage | -1.250 |" in text


def test_shown_are_the_lowest_the_highest_and_between():
    made = [trajectory(scores={"a": Score(value=value)}) for value in (3.0, 1.0, 2.0, 5.0, 4.0)]
    assert [one.reward for one in from_low_to_high(made, 3)] == [1.0, 3.0, 5.0]
    assert [one.reward for one in from_low_to_high(made, 1)] == [5.0]
    assert from_low_to_high(made, 9) == made and from_low_to_high(made, 0) == []


def test_a_strip_is_a_picture_or_a_file_of_it(tmp_path):
    assert contact_sheet(trajectory(frames=0), pixels) is None
    picture = contact_sheet(trajectory(frames=3), pixels)
    assert picture.size == (3 * (84 * 2 + 4) - 4, 112 + 14)
    assert save_contact_sheet(trajectory(frames=3), pixels, tmp_path / "a/strip.png") == 3
    assert save_contact_sheet(trajectory(frames=0), pixels, tmp_path / "none.png") == 0
    assert (tmp_path / "a/strip.png").exists() and not (tmp_path / "none.png").exists()


def test_frames_of_different_shapes_do_not_cover_each_other():
    shapes = Observation(parts=(frame(width=28, height=56), frame(width=112, height=56)))
    assert (
        contact_sheet(trajectory(turns=[Turn(text="look", observation=shapes)]), pixels).width
        == 2 * (224 + 4) - 4
    )


def test_a_task_without_gold_answer_is_shown():
    unknown = task()
    object.__setattr__(unknown, "answer", None)
    assert "| gold | (not known) |" in markdown(tables(trajectory(task=unknown)))
