"""Rows as EVA's release writes them, for tests."""

import json


def row(index=0, video="a.mp4", truth="B", text="What colour?\nA. red\nB. blue\nC. green", **more):
    return {
        "videos": [video],
        "prompt": [{"role": "user", "content": text}],
        "reward_model": {"style": "rule", "ground_truth": truth, "reward_fn": "video_crop"},
        "index": index,
        **more,
    }


def write_rows(path, rows):
    """Rows, or lines as they are."""
    lines = [one if isinstance(one, str) else json.dumps(one) for one in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
