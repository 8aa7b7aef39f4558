"""Parts of clips: their scripts say what the longer clip shows, counted from where the part begins."""

from itertools import islice

import pytest

from eva_lightning.data.synthesis.parts import lessons, part_of
from eva_lightning.data.synthesis.script import ScriptSettings, write_script
from eva_lightning.scoring import score

SCRIPTS = [
    write_script(seed, ScriptSettings(duration=(180, 600), event=(70, 150), height=112, width=112))
    for seed in range(3)
]
WHEN = {"families": ("when",), "subjects": (("background",),), "per_family": 9}


def test_a_part_shows_at_each_second_what_the_whole_shows_that_much_later():
    whole = SCRIPTS[0]
    part = part_of(whole, 50, 170)
    assert part.duration == 120 and part.id == f"{whole.id}-50-170"
    assert [part.at(second).see for second in range(120)] == [
        whole.at(second).see for second in range(50, 170)
    ]


def test_a_part_outside_of_the_clip_has_no_script():
    with pytest.raises(ValueError, match="has no events"):
        part_of(SCRIPTS[0], 9000, 9100)


def test_each_lesson_asks_about_a_scene_of_its_part_and_is_counted_from_its_begin():
    whole = {script.id: script for script in SCRIPTS}
    made = list(lessons(SCRIPTS, 0, 60, (60, 300), **WHEN))
    assert len({task.id for _, task in made}) == 60 and len({part.id for part, _ in made}) >= 50
    for part, task in made:
        (clip,), (start, end) = task.clips, task.answer.value
        assert 60 <= clip.end - clip.begin == part.duration <= 300 and len(part.events) > 1
        script = whole[clip.path.removeprefix("clips/").removesuffix(".mp4")]
        colour = task.extra["look_for"][0]["background"]
        assert 0 <= start < end < part.duration
        assert script.at(clip.begin + start).see.background == colour
        assert script.at(clip.begin + end).see.background != colour
        assert score(task, f"{start:g} to {end:g}").value == 1


def test_a_part_is_as_long_as_is_said():
    whole = {script.id: script.duration for script in SCRIPTS}
    for part, task in lessons(SCRIPTS, 0, 60, (60, 600), least=0.8, **WHEN):
        clip = task.clips[0].path.removeprefix("clips/").removesuffix(".mp4")
        assert 0.8 * whole[clip] <= part.duration <= whole[clip]


def test_lessons_have_options_as_often_as_is_said():
    plates = {"families": ("plate_while",), "per_family": 9}
    shares = {share: lessons(SCRIPTS, 0, 80, (150, 240), open_share=share, **plates) for share in (0.0, 0.5)}
    chosen = {share: sum(bool(task.options) for _, task in made) for share, made in shares.items()}
    assert chosen[0.0] == 80 and 20 < chosen[0.5] < 60


def test_the_same_seed_makes_the_same_lessons():
    first, again, other = (list(islice(lessons(SCRIPTS, seed, 9, (60, 90), **WHEN), 9)) for seed in (0, 0, 1))
    assert first == again != other
