"""Names of frames: the same for the same pixels, others for other files, clips and sizes."""

import asyncio

from eva_lightning.engines.frame_names import frame_names
from eva_lightning.engines.scripted_engine import ScriptedEngine
from eva_lightning.engines.single_turn import ask
from eva_lightning.records import Clip
from tests.making import frame


def test_what_was_read_from_another_file_second_size_or_clip_has_another_name(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"a")
    (tmp_path / "b.mp4").write_bytes(b"b")
    clips = [(Clip(id="v", path=str(tmp_path / f"{name}.mp4")),) for name in "ab"]
    later = (Clip(id="v", path=str(tmp_path / "a.mp4"), begin=3.0),)
    names = [frame_names(one)(frame()) for one in (*clips, later)]
    names += [frame_names(clips[0])(one) for one in (frame(time=2.0), frame(height=28))]
    names += [frame_names((Clip(id="v"),), whose)(frame()) for whose in ("t1", "t2")]
    assert len(set(names)) == 7 and {len(one) for one in names} == {16}
    assert frame_names(clips[0])(frame()) == names[0]


def test_two_questions_on_clips_of_one_name_do_not_share_frames():
    heard = []

    def listen(context):
        heard.append(context.name(frame()))
        return "yes"

    engine = ScriptedEngine(listen)
    for path in ("one.mp4", "two.mp4", "one.mp4"):
        asyncio.run(ask(engine, ["What?", frame()], lambda frame: None, clips=(Clip(id="v", path=path),)))
    assert heard[0] == heard[2] != heard[1]
