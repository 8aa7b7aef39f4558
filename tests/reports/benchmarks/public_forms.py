"""Annotations as the authors of public benchmarks publish them, with contents of our own, for tests.

Each entry is what lies in the folder of one benchmark: the files by name, the videos, and what they ask.
"""

import io
import json
from dataclasses import dataclass, field

import pyarrow as arrow
import pyarrow.parquet as parquet


@dataclass(frozen=True, kw_only=True)
class Form:
    """What one benchmark publishes."""

    rows: str
    """The file of its rows."""
    files: dict[str, str | bytes]
    """That file and those beside it, by name."""
    videos: tuple[str, ...]
    """Videos, below the folder of videos."""
    golds: tuple[str, ...]
    """The gold answer of each question, as it is written plainly."""
    predicted: dict[str, object] = field(default_factory=dict)
    """The files of predictions, if nothing was answered."""
    wrong: tuple[str, str] = ("", "")
    """A spoilt piece of the file of rows, and what is said of it."""


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(*rows):
    file = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(list(rows)), file)
    return file.getvalue()


ACTIVITYNET = {
    "v_uqiMw7tQ1Cc": {
        "duration": 12.5,
        "timestamps": [[0.28, 5.15], [3.79, 12.5]],
        "sentences": ["A man lifts a bar.", " He puts it down."],
    },
    "v_bXdq2zI1Ms0": {"duration": 30.0, "timestamps": [[1, 10]], "sentences": ["A dog runs."]},
}
CHAPTERS = [
    {
        "qid": 51234 + i,
        "query": title,
        "vid": f"{i}abcdefghij-",
        "duration": 60,
        "split": "test",
        "relevant_windows": [window],
    }
    for i, (title, window) in enumerate([("Intro", [0.0, 20.0]), ("Results", [20.0, 55.0])])
]
VUE_TR = [
    {
        "query_id": i,
        "video_id": "coPfnSFOXj0",
        "duration": 32.625,
        "query": query,
        "gt": gold,
        "task": "temporal_retrieval",
        "duration_category": "ultra-short",
        "query_format": "phrase",
        "query_modality": modality,
    }
    for i, (query, gold, modality) in enumerate(
        [
            ("a red door", [[0, 12]], "vision"),
            ("a bell rings", [[3, 4]], "audio"),
            ("a bird", [[1, 2], [7, 9]], "vision"),
        ]
    )
]
NEXT_GQA = """video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4
2574374895,719,320,240,what did the baby do at the end,lay on floor,8,TN,clap,sit down,lay on floor,jump,crawl
2574374895,719,320,240,why did the man turn,wind,3,CW,noise,to play,wind,bored,music
"""
SPANS = {
    "2574374895": {
        "duration": 24,
        "location": {"8": [[19.0, 23.5]], "3": [[1.2, 5.8], [9, 11]]},
        "fps": 29.97,
    }
}
REXTIME = [
    {
        "answer": "From <s0> to <e0>, <option>",
        "duration": 55.15,
        "category": "means_to_an_end",
        "question": "Why does the man bend down?",
        "options": ["To tie a shoe.", "To lift a bar.", "To rest.", "To look away."],
        "qid": "anet_val0",
        "vid": "v_uqiMw7tQ1Cc",
        "ans": "B",
        "source": "ActivityNet_val",
        "span": [32, 53],
    }
]
LONG_REASON = {
    "problem_id": 0,
    "problem": "Why are both shown?\nA. By chance.\nB. To compare them.\nC. For length.\nD. As a joke.",
    "data_type": "video",
    "problem_type": "goal",
    "reasoning": "Both are shown one after the other.",
    "videos": "longvila_videos/I_Q3ajyOrcI.mp4",
    "answer": "<answer>B</answer>",
}
VSI = [
    {
        "id": i,
        "dataset": "scannet",
        "scene_name": "scene0011_00",
        "question_type": kind,
        "question": question,
        "ground_truth": gold,
        "options": options,
    }
    for i, (kind, question, gold, options) in enumerate(
        [
            ("object_counting", "How many chairs are in this room?", "4", None),
            ("object_rel_distance", "Which is nearest?", "C", ["A. bed", "B. lamp", "C. sofa", "D. door"]),
            ("room_size_estimation", "How large is the room in square metres?", "21.4", None),
        ]
    )
]
MMVU = [
    {
        "id": f"validation_{i}",
        "video": f"https://huggingface.co/datasets/yale-nlp/MMVU/resolve/main/videos/Art/{i}.mp4",
        "youtube_url": "https://www.youtube.com/watch?v=x",
        "question_type": kind,
        "metadata": {"subject": "Art", "textbook": "", "rationale": "", "knowledge": []},
        "question": "Which technique is shown?",
        "choices": dict(zip("ABCDE", choices, strict=True)),
        "answer": gold,
    }
    for i, (kind, choices, gold) in enumerate(
        [
            ("open-ended", [""] * 5, "Dolly Zoom"),
            ("multiple-choice", ["pan", "tilt", "zoom", "cut", "fade"], "D"),
        ]
    )
]


def lecture(number, question_type, options, answer):
    return {
        "id": f"dev_Biology_{number}",
        "question": "What is computed?",
        "options": options,
        "answer": answer,
        "link_selected": "https://www.youtube.com/watch?v=x",
        "question_type": question_type,
    }


OPTIONS = ["A sum.", "A mean.", "A square."]
SILENT = {"prediction": None, "answer": "C"}
LECTURES = {
    "Perception": lecture(1, "perception", OPTIONS, "B"),
    "Comprehension": lecture(2, "multiple-choice", OPTIONS, "A"),
    "Adaptation": lecture(3, "open", [], "0.37"),
}
GQA_KEYS = ("2574374895_8", "2574374895_3")

FORMS = {
    "charades": Form(
        rows="charades_sta_test.txt",
        files={
            "charades_sta_test.txt": "3MSZA 24.3 30.4##person turn a light on.\n"
            "AO8RW 0.0 6.9##a person puts a book ## on a shelf.\n"
        },
        videos=("3MSZA.mp4", "AO8RW.mp4"),
        golds=("24.3 to 30.4", "0.0 to 6.9"),
        wrong=("3MSZA 24.3 30.4 person", "charades_sta_test.txt:1: no '##' behind moment"),
    ),
    "activitynet": Form(
        rows="val_2.json",
        files={"val_2.json": json.dumps(ACTIVITYNET)},
        videos=("v_uqiMw7tQ1Cc.mp4", "v_bXdq2zI1Ms0.mp4"),
        golds=("0.28 to 5.15", "3.79 to 12.5", "1.0 to 10.0"),
        wrong=(
            json.dumps({"v_a": {"duration": 1, "timestamps": [[0, 1]], "sentence": ["x"]}}),
            "val_2.json row 1: sentences is none of its columns video, duration, timestamps, sentence",
        ),
    ),
    "vidchapters": Form(
        rows="chapters_vmr_test.jsonl",
        files={"chapters_vmr_test.jsonl": lines(*CHAPTERS)},
        videos=("abcdefghij-.mp4",),
        golds=("0.0 to 20.0", "20.0 to 55.0"),
        predicted={
            "hl_test_submission.jsonl": [
                {
                    "qid": row["qid"],
                    "query": row["query"],
                    "vid": row["vid"],
                    "pred_relevant_windows": [[-1.0, -1.0, 1.0]],
                }
                for row in CHAPTERS
            ]
        },
        wrong=(
            lines(CHAPTERS[0] | {"relevant_windows": "soon"}),
            "chapters_vmr_test.jsonl:1: relevant_windows: 'soon' does not name two times",
        ),
    ),
    "vuetr": Form(
        rows="VUE-TR_ground_truth.json",
        files={"VUE-TR_ground_truth.json": json.dumps(VUE_TR)},
        videos=("coPfnSFOXj0.mp4",),
        golds=("0.0 to 12.0", "1.0 to 2.0 and 7.0 to 9.0"),
        predicted={
            "predictions.json": [
                {
                    "query_id": row["query_id"],
                    "video_id": "coPfnSFOXj0",
                    "duration": 32.625,
                    "query": row["query"],
                    "answer": [],
                    "task": "temporal_retrieval",
                }
                for row in VUE_TR[::2]
            ]
        },
        wrong=(
            json.dumps([{"query_id": 0, "modality": "vision"}]),
            "VUE-TR_ground_truth.json row 1: query_modality is none of its columns query_id, modality",
        ),
    ),
    "nextgqa": Form(
        rows="test.csv",
        files={
            "test.csv": NEXT_GQA,
            "gsub_test.json": json.dumps(SPANS),
            "map_vid_vidorID.json": json.dumps({"2574374895": "0101/2574374895"}),
        },
        videos=("0101/2574374895.mp4",),
        golds=("From 19.0 to 23.5, C", "From 1.2 to 5.8 and 9.0 to 11.0, C"),
        predicted={
            "test_ground.json": {key: [-1.0, -1.0] for key in GQA_KEYS},
            "test-res.json": dict.fromkeys(GQA_KEYS, SILENT),
        },
        wrong=(
            NEXT_GQA.replace(",8,TN", ",9,TN"),
            "test.csv:2: spans.location.{qid} is empty",
        ),
    ),
    "rextime": Form(
        rows="rextime_val.json",
        files={"rextime_val.json": json.dumps(REXTIME)},
        videos=("v_uqiMw7tQ1Cc.mp4",),
        golds=("From 32.0 to 53.0, B",),
        predicted={
            "rextime_submission.jsonl": [
                {"qid": "anet_val0", "pred_relevant_windows": [[-1.0, -1.0]], "ans": None}
            ]
        },
        wrong=(
            json.dumps([{key: value for key, value in REXTIME[0].items() if key != "span"}]),
            "rextime_val.json row 1: span is none of its columns answer, duration",
        ),
    ),
    "longvideoreason": Form(
        rows="test.jsonl",
        files={"test.jsonl": lines(LONG_REASON)},
        videos=("longvila_videos/I_Q3ajyOrcI.mp4",),
        golds=("B",),
        wrong=(
            lines(LONG_REASON | {"answer": "B"}),
            "test.jsonl:1: answer: 'B' holds nothing like <answer>(.*)</answer>",
        ),
    ),
    "vsibench": Form(
        rows="test.jsonl",
        files={"test.jsonl": lines(*VSI)},
        videos=("scannet/scene0011_00.mp4",),
        golds=("4", "C", "21.4"),
        wrong=(lines(VSI[0] | {"ground_truth": "many"}), "test.jsonl:1: ground_truth: could not convert"),
    ),
    "mmvu": Form(
        rows="validation.json",
        files={"validation.json": json.dumps(MMVU)},
        videos=("Art/0.mp4", "Art/1.mp4"),
        golds=("D",),
        predicted={
            "responses.json": [
                {
                    "id": "validation_1",
                    "question": "Which technique is shown?",
                    "question_type": "multiple-choice",
                    "choices": MMVU[1]["choices"],
                    "answer": "D",
                    "response": "",
                }
            ]
        },
        wrong=(
            json.dumps([MMVU[1] | {"answer": "F"}]),
            "validation.json row 1: answer 'F' counts from A, but there are 5 options",
        ),
    ),
    **{
        f"videommmu/{name}": Form(
            rows="test-00000-of-00001.parquet",
            files={"test-00000-of-00001.parquet": table(row)},
            videos=(f"{row['id']}.mp4",),
            golds=(row["answer"],),
            wrong=(
                table({key: value for key, value in row.items() if key != "answer"}),
                "parquet row 1: answer is none of its columns id, question",
            ),
        )
        for name, row in LECTURES.items()
    },
}


def lay_out(form, folder):
    """Lay the files of a form into a folder, and empty videos into `videos` there; the file of the rows."""
    for name, content in form.files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for name in form.videos:
        path = folder / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder / form.rows
