"""Captions say what a frame of their size shows, and nothing finer."""

from eva_lightning.data.synthesis.captions import captions
from eva_lightning.data.synthesis.script import ScriptSettings, write_script


def test_each_event_has_a_caption_at_each_size_and_finer_traits_need_larger_frames():
    script = write_script(0, ScriptSettings(duration=(60, 60), height=112, width=112))
    made = list(captions([script], "world"))
    assert len(made) == 3 * len(script.events)
    for one in made:
        (frame,) = one.prompt[0].frames
        scene = script.at(frame.time).see
        small, medium = str(scene.background), f"{scene.background} {scene.ink} {scene.shape}"
        assert one.answer == {28: small, 56: medium, 112: f"{medium} {scene.mark}"}[frame.width]
        assert one.prompt[0].text == f"\nFrame 0 at {int(frame.time)} seconds:"


def test_only_the_traits_that_are_asked_for_are_captioned():
    script = write_script(1, ScriptSettings(duration=(60, 60), height=112, width=112))
    made = list(captions([script], "world", traits=("background", "mark")))
    assert {one.prompt[0].frames[0].width for one in made} == {28, 112}
    assert all(len(str(one.answer).split()) == (1 if one.visual_tokens == 1 else 2) for one in made)
