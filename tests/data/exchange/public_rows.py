"""Rows shaped like those that other projects publish or train on, of our own making; one question each about
the clip that is named."""

import json

ADVICE = "Think first, call **crop_video** if needed, then answer. Format strictly as: <think>...</think>"
WINDOW = (12.0, 30.0)


def text(words):
    return {"type": "text", "text": words}


def longvt_trace(clip, question, answer):
    """LongVT's traces: parts of type text and image_url; what the tool found is said by the user."""
    call = {"name": "crop_video", "arguments": {"video_path": clip, "start_time": 12.0, "end_time": 30.0}}
    return {
        "id": "rft_1",
        "messages": [
            {"role": "system", "content": [text("You are a helpful assistant. # Tools ...")]},
            {
                "role": "user",
                "content": [text(f"{question} {ADVICE} The Video path for this video is: {clip}")],
            },
            {
                "role": "assistant",
                "content": [
                    text(f"<think>It must be early.</think>\n<tool_call>{json.dumps(call)}</tool_call>")
                ],
            },
            {
                "role": "user",
                "content": [
                    text("<tool_response> The tool executed successfully."),
                    {"type": "image_url", "image_url": {"url": "frames/0.jpg"}},
                    text("</tool_response>"),
                ],
            },
            {"role": "assistant", "content": [text(f"<think>I see.</think><answer>{answer}</answer>")]},
        ],
    }


def longvt_question(clip, question, answer):
    """LongVT's questions for RL, which are verl's rows with a video."""
    return verl_question(clip, question, answer) | {
        "videos": [{"type": "video", "video": f"file:///data/selfqa/{clip}", "fps": 1, "max_frames": 512}],
        "extra_info": {"index": 0, "question": question, "answer": answer, "video_segment": [12.0, 30.0]},
    }


def verl_question(clip, question, answer):
    """A row of verl's multi-turn RL with tools."""
    return {
        "data_source": "mine",
        "agent_name": "tool_agent",
        "prompt": [
            {"role": "system", "content": "You may call crop_video."},
            {"role": "user", "content": f"<video>{question} {ADVICE}"},
        ],
        "videos": [clip],
        "ability": "video",
        "reward_model": {"style": "rule", "ground_truth": answer},
        "extra_info": {"split": "train", "index": 0, "need_tools_kwargs": True},
    }


def verl_trace(clip, question, answer):
    """A row of verl's multi-turn SFT: OpenAI's messages, calls apart from the words."""
    arguments = json.dumps({"start_time": 12, "end_time": 30})
    call = {"id": "1", "type": "function", "function": {"name": "crop_video", "arguments": arguments}}
    return {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "video", "video": clip}, text(question)],
            },
            {"role": "assistant", "content": [text("<think>Early.</think>")], "tool_calls": [call]},
            {"role": "tool", "content": [{"type": "image"}, text("12 s to 30 s")], "tool_call_id": "1"},
            {"role": "assistant", "content": [text(f"<think>So.</think>\n<answer>{answer}</answer>")]},
        ],
        "tools": [{"type": "function", "function": {"name": "crop_video", "parameters": {"type": "object"}}}],
        "answer": answer,
    }


def swift_trace(clip, question, answer):
    """A row of ms-swift with tools: a message for each call and for what it brought."""
    call = {"name": "get_video_clip_frame", "arguments": {"start_time": 12, "end_time": 30}}
    return {
        "tools": json.dumps([{"type": "function", "function": {"name": "get_video_clip_frame"}}]),
        "messages": [
            {"role": "user", "content": f"<video>{question}"},
            {"role": "assistant", "content": "<think>Early.</think>"},
            {"role": "tool_call", "content": json.dumps(call)},
            {"role": "tool_response", "content": "<image>"},
            {"role": "assistant", "content": f"<think>So.</think><answer>{answer}</answer>"},
        ],
        "videos": [clip],
        "solution": f"<answer>{answer}</answer>",
    }


def video_o3_trace(clip, question, options, answer):
    """A row of Video-o3's SFT: <grounding>, and the pieces that were seen as further videos."""
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", options, strict=True))
    look = {"temporal_segment": [12, 30], "sampling_strategy": "fine"}
    return {
        "id": "llava_1",
        "system": "You are a helpful assistant.",
        "messages": [
            {
                "role": "user",
                "content": "Here is the original full video (Observation 0): \n<video>\nAnswer the following "
                f'multiple-choice question according to the content of the video: "{question}".\nOptions:\n'
                f"{listed} \nYou are advised to first observe potential clue segments.",
            },
            {
                "role": "assistant",
                "content": f"<think>Early.</think>\n<grounding>{json.dumps(look)}</grounding>",
            },
            {"role": "user", "content": "After the above Action 0, here is the refined video clip: <video>."},
            {"role": "assistant", "content": f"<think>So.</think>\n<answer>{answer}</answer>"},
        ],
        "videos": [{"url": f"pnorm2/llava_video/{clip}"}, {"url": "clips/llava_1_0.mp4"}],
    }


def video_o3_question(clip, question, options, answer):
    """A row of Video-o3's RL."""
    return {
        "doc_id": "cg_7",
        "data_source": "clue_single_w_tool",
        "video": clip,
        "problem": question,
        "options": [f"{letter}. {text}" for letter, text in zip("ABCD", options, strict=True)],
        "solution": {"answer": answer, "clue": [{"timestamp": [12, 30]}]},
    }
