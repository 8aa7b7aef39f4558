"""Rows as EVA's release writes them, for tests."""

import json

SHAPE = {
    "id": "index",
    "video": "videos",
    "question": "prompt",
    "answer": "reward_model.ground_truth",
    "answer_index": "A",
    "option_style": "A. ",
    "keep_wording": True,
}
"""Which column of them says what, as the shipped configs have it."""


def row(index=0, video="a.mp4", truth="B", text="What colour?\nA. red\nB. blue\nC. green", **more):
    return {
        "videos": [video],
        "prompt": [{"role": "user", "content": text}],
        "reward_model": {"style": "rule", "ground_truth": truth, "reward_fn": "video_crop"},
        "index": index,
        **more,
    }


def rows_of(tasks, style="A. "):
    """Questions of an embedded world as rows, options in this style; with kind and place of the answer."""
    rows = []
    for index, task in enumerate(one for one in tasks if one.options):
        options = [
            style.replace("A", letter) + said for letter, said in zip(task.letters, task.options, strict=True)
        ]
        video, text = task.clips[0].path.rpartition("/")[2], "\n".join([task.question, *options])
        more = {"question_type": task.source, "Question_Type": task.source, "time_reference": "00:05-00:10"}
        rows.append(row(index, video, task.answer.value, text, **more))
    return rows


def write_rows(path, rows):
    """Rows, or lines as they are."""
    lines = [one if isinstance(one, str) else json.dumps(one) for one in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
