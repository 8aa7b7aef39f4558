"""Rows of other people's agents become trajectories that SFT and KTO learn from, with the pixels of their
image files.
"""

import asyncio
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from eva_lightning.agent.worlds.video_world import VideoWorld
from eva_lightning.cli import main
from eva_lightning.files.store import located, read
from eva_lightning.policy.inputs import lay_out, trajectory_inputs
from eva_lightning.policy.loading import PolicyConfig, load_policy
from eva_lightning.policy.logprobs import token_logprobs
from eva_lightning.policy.tokenized import tokenized
from eva_lightning.records import Clip, Trajectory
from eva_lightning.video.opening import open_decoder
from eva_lightning.video.pyav_decoder import PyAVDecoder

CALL = {"name": "zoom", "arguments": {"name": "left", "factor": 2}}


def picture(path, height=100, width=200, **saved):
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows, columns, rows + columns], -1).astype(np.uint8)
    Image.fromarray(pixels).save(path, **saved)
    return path


@pytest.fixture
def read_rows(tmp_path, capsys):
    """Converts rows beside a.png (200 x 100) and b.jpg (40 x 40); trajectories, and what was said."""
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.jpg", 40, 40)

    def reading(*rows, words=()):
        (tmp_path / "agents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        out = tmp_path / "t.jsonl"
        given = ["--rows", str(tmp_path / "agents.jsonl"), "--out", str(out), "--to", "trajectories"]
        status = main(["convert", *given, *words])
        said = capsys.readouterr()
        return (read(out, Trajectory) if status == 0 else status), said.out + said.err

    return reading


def sharegpt(**more):
    return {
        "conversations": [
            {"from": "human", "value": "<image>What is on the left?"},
            {"from": "function_call", "value": json.dumps(CALL)},
            {"from": "observation", "value": "closer: <image>"},
            {"from": "gpt", "value": "A cat."},
        ],
        "system": "Look well.",
        "images": ["a.png", "b.jpg"],
    } | more


def openai(**more):
    calling = [
        {
            "id": "1",
            "type": "function",
            "function": {"name": "zoom", "arguments": json.dumps(CALL["arguments"])},
        }
    ]
    return {
        "messages": [
            {"role": "system", "content": "Look well."},
            {"role": "user", "content": "<image>What is on the left?"},
            {"role": "assistant", "content": None, "tool_calls": calling},
            {"role": "tool", "content": "closer: <image>"},
            {"role": "assistant", "content": "A cat."},
        ],
        "images": ["a.png", "b.jpg"],
    } | more


def trl(**more):
    def text(words):
        return {"type": "text", "text": words}

    return {
        "prompt": [
            {"role": "system", "content": [text("Look well.")]},
            {"role": "user", "content": [{"type": "image"}, text("What is on the left?")]},
            {
                "role": "assistant",
                "content": [
                    text(
                        '<tool_call>{"tool": "zoom", "arguments": {"name": "left", "factor": 2}}</tool_call>'
                    )
                ],
            },
            {"role": "user", "content": [text("closer: "), {"type": "image"}]},
        ],
        "completion": [{"role": "assistant", "content": [text("A cat.")]}],
        "images": [{"path": "a.png"}, {"path": "b.jpg"}],
    } | more


def swift(**more):
    return {
        "messages": [
            {"role": "system", "content": "Look well."},
            {"role": "user", "content": "<image>What is on the left?"},
            {"role": "tool_call", "content": json.dumps(CALL)},
            {"role": "tool_response", "content": "closer: <image>"},
            {"role": "assistant", "content": "A cat."},
        ],
        "tools": "[]",
        "images": ["a.png", "b.jpg"],
    } | more


@pytest.mark.parametrize(
    "row", [sharegpt(), openai(), trl(), swift()], ids=["sharegpt", "openai", "trl", "swift"]
)
def test_one_conversation_is_one_trajectory_in_every_form(read_rows, row):
    (one,), said = read_rows(row)
    assert (one.task.source, one.task.question, one.replica) == ("agents", "What is on the left?", 1)
    assert [(clip.id, clip.path) for clip in one.task.clips] == [("image 1", "a.png"), ("image 2", "b.jpg")]
    assert [message.role for message in one.prompt] == ["system", "user"]
    assert one.turns[0].calls[0].arguments == {"name": "left", "factor": 2}
    assert one.turns[0].text.startswith('<tool_call>{"tool": "zoom"')
    first, second = one.frames
    assert (first.time, first.height, first.width) == (0.0, 112, 196)  # 100 and 200 in steps of 28
    assert (second.height, second.width) == (28, 28)
    assert one.turns[0].observation.parts == ("closer: ", second)
    assert (one.stop, one.answer, one.desirable, one.token_ids) == ("answered", "A cat.", None, [])
    assert "1 rows of others, without token ids" in said
    assert "1 of them end without a marked answer" in said


@pytest.mark.parametrize(
    ("row", "mark"),
    [
        (sharegpt(kto_tag=True), True),
        (sharegpt(kto_tag=False), False),
        (openai(label=True), True),
        (trl(label=False), False),
        (trl(label=1), True),
        (trl(label=None), None),
    ],
)
def test_marks_of_either_trainer_are_marks(read_rows, row, mark):
    ((one,), _) = read_rows(row)
    assert one.desirable is mark


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", "nested more than 32 deep"),
        ('{"a": NaN}', "NaN is no number in JSON"),
        ('{"a": "\\ud83d"}', "half a character"),
        ('{"a": 1, "a": 2}', "'a' stands there twice"),
    ],
    ids=["deep", "nan", "half", "twice"],
)
def test_a_call_that_no_file_could_hold_is_named(read_rows, arguments, said):
    row = sharegpt()
    row["conversations"][1]["value"] = f'{{"name": "zoom", "arguments": {arguments}}}'
    status, told = read_rows(row)
    assert status == 1 and re.search(rf"conversations\[1\].value: not JSON \({said}\)", told)


def test_arguments_that_are_no_text_are_bounded_as_well(read_rows):
    row = openai()
    row["messages"][2] = {
        "role": "assistant",
        "tool_calls": [{"function": {"name": "zoom", "arguments": {}}}],
    }
    held = row["messages"][2]["tool_calls"][0]["function"]["arguments"]
    for _ in range(400):
        held["a"] = {}
        held = held["a"]
    status, told = read_rows(row)
    assert status == 1 and "arguments: nested more than 32 deep" in told


def test_images_that_no_message_speaks_of_come_before_the_first_question(read_rows):
    row = {"prompt": "Which?", "completion": "<answer>A</answer>", "image": "a.png"}
    (one,), _ = read_rows(row)
    assert one.prompt[0].parts == (one.frames[0], "Which?")
    assert one.answer == "A"


def test_tasks_are_told_apart_by_what_was_asked_whatever_the_ids_of_rows_say(read_rows):
    def row(id, question):
        return {"id": id, "prompt": question, "completion": "<answer>A</answer>", "label": True}

    made, _ = read_rows(row("clip 1", "Which?"), row("clip 1", "Why?"), row("try 2", "Which?"))
    first, second, third = (one.task.id for one in made)
    assert first == third != second


def test_calls_of_their_own_belong_to_the_words_before_them(read_rows):
    row = swift()
    row["messages"].insert(2, {"role": "assistant", "content": "Closer."})
    row["messages"].insert(4, row["messages"][3])
    (one,), _ = read_rows(row)
    assert len(one.turns) == 2 and [call.name for call in one.turns[0].calls] == ["zoom", "zoom"]
    assert one.turns[0].text.startswith("Closer.\n<tool_call>")


def test_images_of_openai_s_parts_are_images(read_rows):
    shown = {"type": "image_url", "image_url": {"url": "b.jpg"}}
    content = [shown, {"type": "text", "text": "Which?"}]
    row = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "That."}]}
    (one,), _ = read_rows(row)
    assert one.prompt[0].parts == (one.frames[0], "Which?")


def test_images_may_stand_in_the_messages(read_rows):
    content = [{"type": "image", "image": "b.jpg"}, {"type": "text", "text": "Which?"}]
    row = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "That."}]}
    (one,), _ = read_rows(row)
    assert one.prompt[0].parts == (one.frames[0], "Which?")


def test_attempts_at_one_question_are_attempts_at_one_task(read_rows):
    other = sharegpt(images=["b.jpg", "a.png"])
    later = sharegpt(images=["a.png", "a.png"])  # another look at the same picture
    made, _ = read_rows(sharegpt(kto_tag=True), sharegpt(kto_tag=False), other, later)
    first, second, third, fourth = (one.task.id for one in made)
    assert first == second == fourth != third
    assert [one.replica for one in made] == [1, 2, 3, 4]


def test_an_image_shown_twice_is_one_clip(read_rows):
    (one,), _ = read_rows(sharegpt(images=["a.png", "a.png"]))
    assert len(one.task.clips) == 1 and len(one.frames) == 2


def test_a_conversation_of_words_alone_is_read_too(read_rows):
    turns = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]
    (one,), _ = read_rows({"conversations": turns})
    assert one.frames == () and one.task.clips[0].path == ""


def test_a_user_that_speaks_again_is_what_the_agent_observes_and_it_is_told(read_rows):
    row = openai()
    row["messages"][3]["role"] = "user"
    (one,), said = read_rows(row)
    assert one.messages[3].role == "tool"
    assert "1 of them have the user speak again: read as what the agent observes" in said


def test_a_large_image_is_shrunk_to_what_it_may_cost(read_rows, tmp_path):
    picture(tmp_path / "large.png", 560, 1120)  # 20 x 40 visual tokens
    row = sharegpt(images=["large.png", "b.jpg"])
    sizes = []
    for words in ([], ["--image_tokens", "50"], ["--image_tokens", "null"]):
        ((one,), _) = read_rows(row, words=words)
        sizes.append((one.frames[0].height, one.frames[0].width, one.frames[0].visual_tokens))
    assert sizes == [(560, 1120, 800), (140, 280, 50), (560, 1120, 800)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (sharegpt(images=["a.png"]), "images: 1 files, but the messages speak of 2 images"),
        (sharegpt(images=["a.png", "none.png"]), r"images\[1\]: .*none.png: No such file"),
        (sharegpt(images=["a.png", "agents.jsonl"]), r"images\[1\]: .*agents.jsonl: can not be read as a"),
        (sharegpt(images=["a.png", 3]), r"images\[1\]: want the path of an image file"),
        (
            sharegpt(videos=["a.mp4"]),
            "videos: trajectories come of images; read rows of videos by --to tasks --videos DIR",
        ),
        (sharegpt(chosen={}, rejected={"from": "gpt", "value": "x"}), "rejected: pairs are not read"),
        (sharegpt(kto_tag="yes"), "kto_tag: 'yes' is neither true nor false"),
        (sharegpt(conversations=[]), "messages: the last one is not of the model"),
        (
            sharegpt(conversations=[{"from": "bot", "value": "x"}]),
            r"conversations\[0\].from: 'bot' is none of system",
        ),
        (sharegpt(conversations=[{"from": "gpt", "value": "x"}], images=[]), "messages: no question"),
        (
            sharegpt(conversations=[{"from": "function_call", "value": "zoom"}]),
            r"conversations\[0\].value: not JSON",
        ),
        (
            sharegpt(conversations=[{"from": "gpt"}]),
            r"conversations\[0\].value: want a text or a list of parts",
        ),
        (
            sharegpt(
                conversations=[{"from": "human", "value": "?"}, *[{"from": "gpt", "value": "x"}] * 2],
                images=[],
            ),
            "messages: two turns of the model in a row",
        ),
        (
            openai(messages=[{"role": "user", "content": [{"type": "audio"}]}]),
            r"messages\[0\].content\[0\]: want a part of type",
        ),
        ({"text": "words"}, "row: has columns text; want those of a trajectory"),
        ({"task": {"clips": []}, "prompt": []}, "task.id: missing"),
    ],
)
def test_a_row_that_can_not_be_read_is_named_with_its_field(read_rows, row, said):
    status, told = read_rows(sharegpt(), row)
    assert status == 1
    assert re.search(f"agents.jsonl:2: {said}", told), told


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("x.png", {}),
        ("x.jpg", {"quality": 95}),
        ("x.JPEG", {"quality": 95}),
        ("x.webp", {"lossless": True}),
        ("x.bmp", {}),
        ("x.tiff", {}),
    ],
)
def test_a_picture_file_is_a_clip_of_one_frame(name, saved, tmp_path):
    picture(tmp_path / name, 112, 196, **saved)
    clip, world = Clip(id="i", path=str(tmp_path / name)), VideoWorld()
    facts = world.describe(clip)
    assert (facts.height, facts.width) == (112, 196) and facts.duration > 0
    (glimpse,) = asyncio.run(world.look(clip, [0.0], 112, 196))
    assert glimpse.time == 0.0
    shown = world.pixels(clip, glimpse.content).astype(int)
    with Image.open(tmp_path / name) as image:
        truth = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(shown - truth).mean() < (2 if "j" in name.lower() else 0.01)


@pytest.mark.parametrize("device", ["auto", "cuda", "torchcodec-cpu"])
def test_pictures_need_no_card(device, tmp_path):
    with open_decoder(picture(tmp_path / "x.PNG"), device) as decoder:
        assert isinstance(decoder, PyAVDecoder)


def test_sft_learns_from_the_pixels_of_a_foreign_row(read_rows, tmp_path, tiny_folder):
    ((one,), _) = read_rows(sharegpt())
    policy = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))
    taught = tokenized(one, policy.renderer)
    world, clips = VideoWorld(), {clip.id: clip for clip in located(one.task, tmp_path).clips}

    def inputs():
        shown = trajectory_inputs(taught, policy, lambda frame: world.pixels(clips[frame.clip], frame))
        return shown, lay_out([shown])

    read_once, batch = inputs()
    assert read_once.grid.tolist() == [[1, 8, 14], [1, 2, 2]]  # patches of 14 pixels
    words = policy.renderer.decode(read_once.targets)
    assert words == one.turns[0].text + one.turns[1].text
    loss = -token_logprobs(policy.model, batch).logprobs.mean()
    loss.backward()
    assert torch.isfinite(loss)
    picture(tmp_path / "a.png", 100, 201)  # other pixels of the same size
    assert not torch.equal(inputs()[0].pixel_values, read_once.pixel_values)


def test_sft_and_kto_train_on_foreign_rows_through_the_front_door(read_rows, tmp_path, tiny_folder):
    rows = [sharegpt(kto_tag=bool(i % 2), id=str(i)) for i in range(4)]
    rows[0]["conversations"][0]["value"] = "<image>And on the right?"
    made, _ = read_rows(*rows)
    assert [one.desirable for one in made] == [False, True, False, True]
    for stage in ("sft", "kto"):
        words = ["fit", "--config", f"{stage}.yaml", f"--model.policy.path={tiny_folder}"]
        words += ["--model.policy.dtype=float32", "--trainer.precision=32-true", "--trainer.accelerator=cpu"]
        words += [
            f"--data.trajectories={tmp_path / 't.jsonl'}",
            "--data.batch_size=4",
            "--trainer.max_epochs=1",
        ]
        words += [
            f"--trainer.default_root_dir={tmp_path / stage}",
            "--trainer.limit_train_batches=1",
            "--data.eval_tasks=null",
        ]
        assert main(words) == 0
        assert (tmp_path / stage / "export" / "final" / "config.json").exists()
