"""Rows as CrossVid's authors publish them, a few of each kind, with contents of our own, for tests."""

WHICH = ["A. Video 1", "B. Video 2", "C. Video 3", "D. Video 4"]
FOUR = ["a.mp4", "b.mp4", "a.mp4", "b.mp4"]

QA = {
    "BU": [
        {"id": 0, "videos": FOUR, "question": "Which animals hide?", "options": WHICH, "answer": ["B", "D"]}
    ],
    "NC": [{"id": 0, "videos": FOUR, "question": "Who is curious?", "options": WHICH, "answer": "A"}],
    "CC": [{"id": 0, "videos": FOUR, "question": "Who fries?", "options": WHICH, "answer": "C"}],
    "PEA": [
        {
            "id": 0,
            "videos": ["a.mp4", "b.mp4"],
            "begin": [3, 0],
            "end": [50, 41.5],
            "question": "Which action is wrong twice?",
            "options": ["A. attach roof", "B. attach seat"],
            "answer": "A",
        }
    ],
    "PI": [
        {
            "id": 0,
            "video": "a.mp4",
            "beginning": [0, 20],
            "ending": [40, 60],
            "options": ["A. They flee", "B. They trade", "C. They hide"],
            "answer": "B",
        }
    ],
    "FSA": [{"id": 0, "video A": "a.mp4", "video B": "b.mp4", "ref_segment": [5, 16], "answer": [16, 23]}],
    "PSS": [
        {
            "id": 0,
            "video": "a.mp4",
            "segments": {"2": [[10, 19]], "1": [[40, 51]], "3": [[20, 31], [34, 39]]},
            "answer": "2->3->1",
        }
    ],
    "MSR": [
        {
            "id": 0,
            "vid": 22,
            "objects": [{"id": 18, "label": "car"}, {"id": 37, "label": "bus"}],
            "question": "When {A1} is beside the truck, where is {B2}?",
            "options": ["A. Behind", "B. Beside"],
            "answer": "A",
        }
    ],
    "MOC": [
        {
            "id": 0,
            "vid": 22,
            "objects": [{"id": 18, "label": "car"}],
            "question": "How many crosswalks does {A1} pass?",
            "options": ["A. 0", "B. 3"],
            "answer": "B",
        }
    ],
    "CCQA": [
        {
            "id": 0,
            "video A": "a.mp4",
            "video B": "b.mp4",
            "question": "How do the doughs differ?",
            "answer": "Video 1 buys toast, video 2 makes dough.",
            "scoring_points": ["1 uses toast", "2 makes dough"],
        }
    ],
}
"""The file of each kind."""

GOLDS = {
    "BU": "B, D",
    "NC": "A",
    "CC": "C",
    "PEA": "A",
    "PI": "B",
    "FSA": "16.0 to 23.0",
    "PSS": "2, 3, 1",
    "MSR": "A",
    "MOC": "B",
    "CCQA": "Video 1 buys toast, video 2 makes dough.",
}
