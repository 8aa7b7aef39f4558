"""A policy in shards (FSDP2) stops and goes on, writes, is handed over and exported: two gloo ranks."""

from importlib.util import find_spec

import pytest
import torch

from eva_lightning.cli import main
from eva_lightning.policy.checkpoint_weights import read_checkpoint, restore
from eva_lightning.policy.loading import Lora, PolicyConfig, load_policy
from tests.modules.launching import launch
from tests.modules.shards_at_work import school
from tests.modules.stages import apart

ENOUGH = 1e-6


@pytest.fixture(scope="module")
def folder(world, tiny_folder, tmp_path_factory):
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def stopped(world, taught, tiny_folder, folder):
    """What two ranks have at the end, straight through and with stops; one process wrote a file before."""
    school(taught, tiny_folder, "auto", epochs=2, folder=folder / "single", dtype="float32")
    launch("tests.modules.shards_at_work", "stop", tiny_folder, world.folder, folder, folder=folder)
    return torch.load(folder / "stop-0.pt")


@pytest.mark.parametrize("how", ["folder", "file"])
def test_what_goes_on_in_shards_goes_on_to_the_bit(how, stopped):
    assert apart(stopped["straight"], stopped[how]) == 0


def test_a_checkpoint_is_evaluated_with_its_weights(stopped):
    assert apart(stopped["straight"], stopped["judged"]) == 0


def test_a_checkpoint_of_an_adapter_holds_the_adapter_alone_and_goes_on_to_the_bit(stopped, folder):
    straight, rest = stopped["adapter, straight"], stopped["adapter"]
    assert apart(straight, rest) == 0
    assert sum(file.stat().st_size for file in (folder / "adapter" / "last.ckpt").iterdir()) < 700_000


@pytest.mark.parametrize(
    ("name", "lora"), [("folder", None), ("file", None), ("adapter", Lora(rank=4, alpha=8))]
)
def test_one_machine_reads_what_two_ranks_wrote_to_the_bit(name, lora, stopped, folder, tiny_folder):
    read = restored(folder / name / "last.ckpt", tiny_folder, lora)
    assert apart(dict(read.model.state_dict()), stopped[name]) == 0


def test_two_ranks_go_on_with_what_one_process_wrote_and_one_with_what_two_wrote(
    stopped, world, taught, tiny_folder, folder
):
    """Sums in another order: four steps of 1e-4 end within 1e-6."""
    alone = school(taught, tiny_folder, "auto", dtype="float32")
    assert apart(alone, stopped["from one process"]) < ENOUGH
    launch("tests.modules.shards_at_work", "alone", tiny_folder, world.folder, folder, ranks=1, folder=folder)
    later = torch.load(folder / "alone-0.pt")
    half = folder / "half file" / "last.ckpt"
    later["one process"] = school(taught, tiny_folder, "auto", go_on=half, dtype="float32")
    begun = dict(policy(tiny_folder).state_dict())
    for rest in later.values():
        assert apart(alone, rest) < ENOUGH < 1e-4 < apart(begun, rest)


@pytest.fixture(scope="module")
def written(world, tiny_folder, folder):
    launch("tests.modules.shards_at_work", "write", tiny_folder, world.folder, folder, folder=folder)
    return [torch.load(folder / f"write-{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("engine", ["own", "shelf"])
def test_whoever_writes_has_the_weights_of_all_shards(engine, written):
    assert_written_by_the_policy(written[0][engine])
    assert written[0][engine]["evaluated"] == written[1][engine]["evaluated"] == 4


def test_no_rank_holds_more_than_its_share(written, tiny_folder):
    total = sum(weight.numel() for weight in policy(tiny_folder).parameters())
    counts = [rank["own"]["weights here"] for rank in written]
    assert sum(counts) == total and max(counts) < 0.6 * total


def test_one_rank_hands_over_what_all_have(written):
    assert written[0]["shelf"]["taken"] == [0, 1, 2] and written[1]["shelf"]["taken"] == []


@pytest.mark.parametrize("engine", ["own", "shelf"])
def test_the_export_is_the_policy_to_the_bit(engine, written, folder):
    exported = dict(policy(folder / engine / "final").state_dict())
    assert apart(exported, written[0][engine]["weights"]) == 0


@pytest.fixture(scope="module")
def deepspeed(world, tiny_folder, folder):
    if find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not installed")
    launch("tests.modules.shards_at_work", "zero", tiny_folder, world.folder, folder, folder=folder)
    return [torch.load(folder / f"zero-{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_what_goes_on_under_deepspeed_goes_on_to_the_bit(stage, deepspeed):
    assert apart(deepspeed[0][stage, "straight"], deepspeed[0][stage, "rest"]) == 0


@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_one_machine_reads_what_two_ranks_of_deepspeed_wrote_to_the_bit(
    stage, deepspeed, folder, tiny_folder, capsys
):
    read = restored(folder / stage / "last.ckpt", tiny_folder)
    assert apart(dict(read.model.state_dict()), deepspeed[0][stage, "rest"]) == 0
    assert main(["export", str(folder / stage / "last.ckpt"), "--out", str(folder / "exported" / stage)]) == 0
    exported = dict(policy(folder / "exported" / stage, dtype="bfloat16").state_dict())
    assert apart(exported, deepspeed[0][stage, "rest"]) == 0


@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_an_engine_and_an_export_have_the_weights_that_deepspeed_moves(stage, deepspeed, folder):
    first, second = (rank[stage, "shelf"] for rank in deepspeed)
    assert_written_by_the_policy(first)
    assert first["taken"] == [0, 1] and second["taken"] == []
    exported = dict(policy(folder / f"{stage} shelf" / "final").state_dict())
    assert apart(exported, first["weights"]) == 0


def assert_written_by_the_policy(found):
    """The trainer's log-probs are those of the writer, on both ranks, in both iterations."""
    assert [one["train/updates"] for one in found["metrics"]] == [1, 1]
    assert max(one["train/mismatch/max"] for one in found["metrics"]) < 1e-4


def restored(checkpoint, tiny, lora=None):
    """The policy of a checkpoint, as `eva export` reads it."""
    read = load_policy(
        PolicyConfig(path=str(tiny), dtype="bfloat16", lora=lora, freeze_vision=lora is not None)
    )
    restore(read, read_checkpoint(checkpoint), checkpoint)
    return read


def policy(path, dtype="float32"):
    return load_policy(PolicyConfig(path=str(path), dtype=dtype)).backbone
