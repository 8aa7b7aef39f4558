"""eva estimate: a sheet for every shipped config, and one line for one that is wrong."""

import pytest

from eva_lightning.cli import main


def told(capsys, *words):
    """Status, what was printed, and the last line of what was complained of."""
    try:
        status = main(["estimate", *words])
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return status, said.out, (said.err.strip().splitlines() or [""])[-1]


def test_the_paper_s_recipe_is_planned_and_what_is_assumed_is_said(capsys):
    status, said, _ = told(capsys, "--config", "grpo.yaml", "--gpus", "8", "--gpu_memory", "80")
    assert status == 0
    assert (
        "GRPO of Qwen/Qwen2.5-VL-7B-Instruct, ddp on 8 H100: 8,292,166,656 weights\n(676,550,144 of" in said
    )
    assert "runs/kto/export/final is not there yet, and is taken for Qwen/Qwen2.5-VL-7B-Instruct" in said
    assert "weights                       16.6    16.6  counted" in said
    assert "judge                         16.6    16.6  counted" in said  # CompletenessReward's
    assert "tokens               5,120,000" in said and "35% of 989 TFLOP/s" in said
    assert "IT DOES NOT FIT" in said and "it would fit with --trainer.strategy fsdp2" in said


def test_words_of_a_fit_change_the_plan(capsys):
    words = ("--trainer.strategy", "fsdp2", "--model.engine", "VLLMEngine", "--gpu", "H200")
    status, said, _ = told(capsys, "--config", "grpo.yaml", *words)
    assert status == 0 and "fsdp2 on 8 H200" in said and "it fits: " in said
    assert "each vLLM takes 45% of its card, with room for" in said


@pytest.mark.parametrize("config", ["sft.yaml", "kto.yaml", "eva/grpo.yaml", "demo/grpo.yaml"])
def test_every_stage_is_planned(capsys, config):
    status, said, _ = told(capsys, "--config", config, "--gpus", "1")
    assert status == 0 and "an iteration" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "eva estimate: name the config of a stage: eva estimate --config grpo.yaml --gpus 8"),
        (("--config", "grpo.yaml", "--gpus", "none"), "eva estimate: "),
        (("--config", "grpo.yaml", "--gpus", "0"), "eva estimate: gpus is 0: want more than 0"),
        (("--config", "grpo.yaml", "--model.atempts", "3"), "there is no option"),
        (
            ("--config", "grpo.yaml", "--trainer.strategy", "fsdp"),
            "eva estimate: trainer.strategy is fsdp, which can not be planned; want one of auto, ddp,",
        ),
        (
            ("--config", "grpo.yaml", "--architecture", "none/such"),
            "eva estimate: --architecture none/such: no such folder; give one, or one of Qwen/",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(capsys, words, said):
    status, _, complaint = told(capsys, *words)
    assert status in (1, 2) and said in complaint
