"""What a run would take: counts of real policies, bytes that a real one holds, and sums to check by head."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig

from eva_lightning.agent.small_talk import agent_text
from eva_lightning.engines.vllm.settings import VLLMSettings
from eva_lightning.faults import UsageError
from eva_lightning.modules.optimizing import OptimizerConfig, make_optimizer
from eva_lightning.policy.loading import Lora, PolicyConfig, load_policy
from eva_lightning.policy.tiny import build_tiny
from eva_lightning.reports.planning import memory
from eva_lightning.reports.planning.architectures import (
    SIZES,
    USUAL,
    architecture_at,
    kept_by_a_layer,
)
from eva_lightning.reports.planning.asked import Asked
from eva_lightning.reports.planning.work import Hardware, flops, work

GB = 10**9

RUN = Asked(
    stage="GRPO",
    policy=PolicyConfig(path=USUAL, dtype="bfloat16", gradient_checkpointing=True),
    strategy="ddp",
    offload=False,
    bucket_view=False,
    sharded=False,
    batch=64,
    attempts=8,
    mini_batches=1,
    reference=False,
    pass_tokens=32_768,
    sequence_ranks=1,
    frames_gib=1.0,
    total_tokens=32_768,
    concurrency=64,
    writer="servers",
    vllm=VLLMSettings(),
    tensor_parallel=1,
    sleeps=False,
    own_cache=32_768,
    servers=1,
    overlap=False,
    judges=(),
)


def held(run, ranks=1, architecture=None, card=80 * GB):
    """Bytes while learning and while acting, by item."""
    items = memory.on_a_card(run, architecture or architecture_at(run.policy.path), ranks, card)
    return {item.what: (item.learning, item.acting) for item in items}


@pytest.mark.parametrize(
    ("name", "weights"), [("3B", 3_754_622_976), ("7B", 8_292_166_656), ("32B", 33_452_718_336)]
)
def test_known_sizes_make_as_many_weights_as_the_published_files_hold(name, weights):
    assert architecture_at(f"Qwen/Qwen2.5-VL-{name}-Instruct").total == weights


@pytest.mark.parametrize(
    "how", [{}, {"freeze_vision": False}, {"lora": Lora(rank=4)}, {"lora": Lora(targets=["q_proj"])}]
)
def test_a_tiny_policy_has_as_many_weights_as_were_counted(tiny_folder, how):
    config = PolicyConfig(path=str(tiny_folder), **how)
    policy, counted = load_policy(config), architecture_at(str(tiny_folder))
    adapters = sum(weight.numel() for name, weight in policy.model.named_parameters() if "lora_" in name)
    assert counted.total == sum(weight.numel() for weight in policy.model.parameters()) - adapters
    assert counted.vision == sum(
        weight.numel() for weight in policy.family.tower(policy.backbone).parameters()
    )
    moving = sum(weight.numel() for weight in policy.model.parameters() if weight.requires_grad)
    assert memory.trained(replace(RUN, policy=config), counted).weights == moving


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("lora", [None, Lora(rank=4)])
def test_weights_gradients_and_state_are_the_bytes_that_a_real_policy_holds(tiny_folder, dtype, lora):
    config = PolicyConfig(path=str(tiny_folder), dtype=dtype, lora=lora)
    policy = load_policy(config)
    trained = [weight for weight in policy.model.parameters() if weight.requires_grad]
    optimizer, _ = make_optimizer(OptimizerConfig(), policy.model.parameters(), 1)
    sum(weight.float().sum() for weight in trained).backward()
    optimizer.step()
    planned = held(replace(RUN, policy=config), architecture=architecture_at(str(tiny_folder)))
    state = [
        one for kept in optimizer.state.values() for one in kept.values() if torch.is_tensor(one) and one.ndim
    ]
    for what, tensors in (
        ("weights", policy.model.parameters()),
        ("gradients", [weight.grad for weight in trained]),
        ("optimizer", state),
    ):
        assert planned[what][0] == sum(tensor.numel() * tensor.element_size() for tensor in tensors), what


@pytest.mark.parametrize("family", ["qwen3", "qwen3_vl"])
def test_policies_of_other_families_are_counted_too(tmp_path, family):
    build_tiny(tmp_path, corpus=agent_text(), family=family)
    policy = load_policy(PolicyConfig(path=str(tmp_path), dtype="float32"))
    counted = architecture_at(str(tmp_path))
    tower = policy.family.tower(policy.backbone)
    assert counted.total == sum(weight.numel() for weight in policy.model.parameters())
    assert counted.vision == (sum(weight.numel() for weight in tower.parameters()) if tower else 0)
    assert counted.cached == 2 * 2 * 2 * 32  # keys and values, two layers, two heads of 32


@pytest.mark.parametrize(
    ("family", "dtype"),
    [
        ("qwen2_5_vl", torch.float32),
        ("qwen2_5_vl", torch.bfloat16),
        ("qwen3", torch.float32),
        ("qwen3_vl", torch.float32),
    ],
)
def test_a_layer_of_sizes_without_contents_keeps_what_a_real_one_keeps(tmp_path, family, dtype):
    build_tiny(tmp_path, corpus=agent_text(), family=family)
    config = AutoConfig.from_pretrained(tmp_path)
    layers = config.get_text_config().num_hidden_layers
    policy = load_policy(PolicyConfig(path=str(tmp_path), dtype=str(dtype).removeprefix("torch.")))
    decoder = policy.family.decoder(policy.backbone)

    def kept(layers):
        sizes, alive = {}, []
        own = {weight.untyped_storage().data_ptr() for weight in policy.model.parameters()}

        def keep(tensor):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            alive.append(tensor)
            return tensor

        whole, decoder.layers = decoder.layers, decoder.layers[:layers]
        decoder.config.num_hidden_layers = layers
        states = torch.zeros(1, 64, decoder.config.hidden_size, dtype=dtype, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            policy.family.layers(policy.backbone, states, torch.arange(64).expand(4, 1, 64))
        decoder.layers = whole
        return sum(size for place, size in sizes.items() if place not in own)

    assert kept_by_a_layer(config, 64, dtype) == kept(layers) - kept(layers - 1)


def test_strategies_share_out_what_they_say():
    trained = 8_292_166_656 - 676_550_144
    whole = held(RUN, 8)
    assert whole["weights"] == (2 * 8_292_166_656,) * 2
    assert whole["gradients"] == (2 * trained, 0)
    assert whole["optimizer"][0] == 10 * trained
    assert whole["DDP's buckets"] == (2 * trained,) * 2
    assert held(replace(RUN, bucket_view=True), 8)["DDP's buckets"] == (0, 2 * trained)
    assert held(replace(RUN, sharded=True), 8)["optimizer"][0] == 10 * trained / 8
    fsdp2 = held(replace(RUN, strategy="fsdp2"), 8)
    assert [fsdp2[what][0] for what in ("weights", "gradients", "optimizer")] == [
        2 * 8_292_166_656 / 8,
        2 * trained / 8,
        10 * trained / 8,
    ]
    zero2, zero3 = (held(replace(RUN, strategy=one), 8) for one in ("zero2", "zero3"))
    assert zero2["weights"] == whole["weights"] and zero2["optimizer"][0] == 12 * trained / 8
    assert zero3["weights"][0] == 2 * 8_292_166_656 / 8
    away = held(replace(RUN, strategy="zero3", offload=True), 8)
    assert away["weights"] == away["optimizer"] == (0, 0)
    assert (
        "reference" not in whole and held(replace(RUN, reference=True))["reference"][0] == 2 * 8_292_166_656
    )
    lora = replace(RUN, policy=replace(RUN.policy, lora=Lora(rank=64)), reference=True)
    assert "reference" not in held(lora) and held(lora)["optimizer"][0] == 8 * 161_480_704


def test_vllm_shares_the_card_unless_it_sleeps_or_is_elsewhere():
    colocated = replace(RUN, writer="vllm")
    assert held(colocated)["vLLM"] == (0.45 * 80 * GB, 0.45 * 80 * GB)
    assert held(replace(colocated, sleeps=True))["vLLM"] == (0, 0.45 * 80 * GB)
    assert "vLLM" not in held(RUN)
    beside = held(replace(colocated, overlap=True))
    assert all(learning == acting for learning, acting in beside.values())
    architecture = architecture_at(USUAL)
    assert architecture.cached == 2 * 28 * 4 * 128  # keys and values, layers, heads of them, width
    room = 0.45 * 80 * GB - 3 * GB - 2 * 8_292_166_656
    assert memory.cache_tokens(colocated, architecture, 80 * GB) == int(room / (2 * architecture.cached))


def test_ranks_that_share_a_row_share_its_activations():
    """Of 32,768 tokens each of four reads a quarter."""
    whole, shared = (held(replace(RUN, sequence_ranks=ranks))["activations"][0] for ranks in (1, 4))
    assert shared == whole / 4


def test_checkpointing_keeps_the_input_of_each_layer_and_what_one_layer_holds():
    architecture = architecture_at(USUAL)
    layer = kept_by_a_layer(architecture.config, 1024, torch.bfloat16) / 1024
    assert 50 * 3584 < layer < 80 * 3584  # bytes a token
    assert held(RUN)["activations"][0] == 32_768 * (28 * 3584 * 2 + 1.5 * layer)
    without = replace(RUN, policy=replace(RUN.policy, gradient_checkpointing=False))
    assert held(without)["activations"][0] == 32_768 * 28 * layer


def test_tokens_seconds_and_price_of_an_iteration():
    hardware, architecture = Hardware(gpus=8, server_gpus=8), architecture_at(USUAL)
    done = work(RUN, architecture, hardware)
    assert (done.trajectories, done.tokens, done.cards) == (512, 5_120_000, 16)
    assert done.seconds == done.learning + done.writing
    assert done.price == pytest.approx(done.seconds / 3600 * 16 * 2.5)
    per_token = flops(RUN, architecture, hardware)
    assert done.learning == pytest.approx(5_120_000 * per_token / (8 * 989e12 * 0.35))
    layers = 8_292_166_656 - 676_550_144 - 2 * 152_064 * 3584
    assert 4 * 2 * layers < per_token < 1.5 * 4 * 2 * layers  # forward, again, and backward is two
    beside = work(replace(RUN, overlap=True), architecture, hardware)
    assert beside.seconds == max(done.learning, done.writing)
    twice = work(RUN, architecture, replace(hardware, gpus=16))
    assert twice.learning == pytest.approx(done.learning / 2)
    with pytest.raises(UsageError, match="server_gpus is 0: say how many cards they have"):
        work(RUN, architecture, Hardware())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gpus": 0}, "gpus is 0: want more than 0"),
        ({"gpu_memory": -1.0}, "gpu_memory is -1: want gigabytes"),
        ({"written_tokens": 20_000}, "written_tokens 20000 are not fewer than trajectory_tokens 10000"),
        ({"visual_share": 2.0}, "visual_share a number from 0 to 1"),
    ],
)
def test_hardware_that_can_not_be_is_refused(given, said):
    with pytest.raises(UsageError, match=said):
        Hardware(**given)


def test_an_adapter_that_fits_no_layer_is_refused():
    run = replace(RUN, policy=replace(RUN.policy, lora=Lora(targets=["nothing"])))
    with pytest.raises(UsageError, match="no adapter for targets"):
        held(run)
    assert set(SIZES) >= {USUAL}
