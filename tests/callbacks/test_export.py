import json
import shutil

import pytest
import torch
from huggingface_hub import constants
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoProcessor, AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from eva_lightning.callbacks import HuggingFaceExport
from eva_lightning.faults import UsageError
from eva_lightning.policy.export import COMPANIONS, export
from eva_lightning.policy.loading import Lora, PolicyConfig, load_policy
from eva_lightning.reports.lineage import FILE
from tests.callbacks.acting import Acting, fit


def policy_with_adapter(folder):
    """An adapter that does something: PEFT begins with B = 0."""
    config = PolicyConfig(path=str(folder), dtype="float32", lora=Lora(rank=4, alpha=8))
    torch.manual_seed(0)
    policy = load_policy(config)
    with torch.no_grad():
        for name, weight in policy.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.05)
    return config, policy


def module_with(config, policy):
    module = Acting()
    module.policy, module.policy_config = policy, config  # not registered: only `weight` is trained
    return module


def logits(model):
    ids = torch.arange(3, 43)[None]
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


def keys(folder):
    with safe_open(folder / "model.safetensors", "pt") as file:
        return set(file.keys())


@pytest.fixture(scope="module")
def exported(tiny_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config, policy = policy_with_adapter(tiny_folder)
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    said = logits(policy.model)
    fit(folder, module_with(config, policy), [HuggingFaceExport(every=2)], iterations=3)
    return folder / "export", policy, before, said


def test_the_merged_model_says_what_the_live_one_says(exported):
    folder, _, _, said = exported
    merged = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder / "final", dtype="float32")
    assert (logits(merged) - said).abs().max() <= 1e-5
    ours = load_policy(PolicyConfig(path=str(folder / "final"), dtype="float32"))
    assert (logits(ours.model) - said).abs().max() <= 1e-5


def test_the_adapter_of_the_test_changes_the_model(exported, tiny_folder):
    base = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_folder, dtype="float32")
    assert (logits(base) - exported[3]).abs().max() > 0.1


def test_the_live_model_keeps_every_bit(exported):
    _, policy, before, said = exported
    after = policy.model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in after)
    assert torch.equal(logits(policy.model), said)


def test_the_folder_has_the_names_and_files_of_its_source(exported, tiny_folder):
    folder = exported[0]
    assert sorted(path.name for path in folder.iterdir()) == ["final", "iteration-000002"]
    assert keys(folder / "final") == keys(tiny_folder)
    for name in COMPANIONS:
        assert (folder / "final" / name).exists() == (tiny_folder / name).exists()
    one, two = (AutoTokenizer.from_pretrained(place) for place in (folder / "final", tiny_folder))
    said = [{"role": "user", "content": "Which colour?"}]
    assert one.apply_chat_template(said, tokenize=False) == two.apply_chat_template(said, tokenize=False)


def test_the_processor_opens(exported):
    pytest.importorskip("torchvision")  # transformers wants it for videos
    AutoProcessor.from_pretrained(exported[0] / "final")


def test_no_path_of_this_machine_is_inside(exported, tiny_folder, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for path in tiny_folder.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    row = json.loads((source / "tokenizer_config.json").read_text()) | {"name_or_path": str(source)}
    (source / "tokenizer_config.json").write_text(json.dumps(row))
    config, policy = policy_with_adapter(source)
    for adapter in (False, True):
        fit(
            tmp_path,
            module_with(config, policy),
            [HuggingFaceExport(str(tmp_path / f"out{adapter}"), adapter=adapter)],
        )
        for path in (tmp_path / f"out{adapter}" / "final").iterdir():
            assert str(tmp_path).encode() not in path.read_bytes(), path


def test_the_adapter_alone_fits_on_its_base(tiny_folder, tmp_path):
    config, policy = policy_with_adapter(tiny_folder)
    fit(tmp_path, module_with(config, policy), [HuggingFaceExport(adapter=True)])
    base = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_folder, dtype="float32")
    loaded = PeftModel.from_pretrained(base, tmp_path / "export/final")
    assert (logits(loaded) - logits(policy.model)).abs().max() <= 1e-5
    assert not (tmp_path / "export/final/model.safetensors").exists()


def test_weights_without_adapter_are_exported_bit_for_bit(tiny_folder, tmp_path):
    config = PolicyConfig(path=str(tiny_folder), dtype="bfloat16")
    policy = load_policy(config)
    for _ in range(2):  # the second replaces the first
        fit(tmp_path, module_with(config, policy), [HuggingFaceExport()])
    again = load_policy(PolicyConfig(path=str(tmp_path / "export/final")))
    live = policy.model.state_dict()
    assert all(torch.equal(value, live[name]) for name, value in again.model.state_dict().items())
    assert not list((tmp_path / "export").glob(".*"))


def test_a_shared_head_is_written_once(tiny_folder, tmp_path):
    tied = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        tiny_folder, dtype="float32", tie_word_embeddings=True
    )
    tied.config.tie_word_embeddings = tied.config.text_config.tie_word_embeddings = True
    tied.lm_head.weight = tied.model.language_model.embed_tokens.weight
    for path in tiny_folder.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    tied.save_pretrained(tmp_path)
    config, policy = policy_with_adapter(tmp_path)
    fit(tmp_path, module_with(config, policy), [HuggingFaceExport()])
    assert "lm_head.weight" not in keys(tmp_path / "export/final")
    merged = load_policy(PolicyConfig(path=str(tmp_path / "export/final"), dtype="float32"))
    assert (logits(merged.model) - logits(policy.model)).abs().max() <= 1e-4  # this head's logits are larger


def test_an_export_that_fails_leaves_what_was_there_and_no_half_of_its_own(tiny_folder, tmp_path):
    source = shutil.copytree(tiny_folder, tmp_path / "source")
    config = PolicyConfig(path=str(source), dtype="float32")
    policy = load_policy(config)
    export(policy, config, tmp_path / "final")
    before = (tmp_path / "final" / "model.safetensors").read_bytes()
    (source / "tokenizer_config.json").write_text("{")
    with pytest.raises(ValueError, match="Expecting property name"):
        export(policy, config, tmp_path / "final")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["final", "source"]
    assert (tmp_path / "final" / "model.safetensors").read_bytes() == before


def test_an_adapter_that_is_not_there_is_told_before_training(tiny_folder, tmp_path):
    config = PolicyConfig(path=str(tiny_folder))
    module = module_with(config, load_policy(config))
    with pytest.raises(UsageError, match=r"has none; set policy\.lora"):
        fit(tmp_path, module, [HuggingFaceExport(adapter=True)])
    assert module.iteration == 0


def test_who_could_not_push_is_told_before_training(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    config = PolicyConfig(path=str(tiny_folder))
    module = module_with(config, load_policy(config))
    with pytest.raises(UsageError, match="me/agent: the hub wants to know who you are"):
        fit(tmp_path, module, [HuggingFaceExport(push_to="me/agent")])
    assert module.iteration == 0


def test_a_lineage_that_can_not_be_read_is_told_before_training(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "begun")
    (tmp_path / "begun" / FILE).write_text("{")
    config = PolicyConfig(path=str(tmp_path / "begun"))
    module = module_with(config, load_policy(config))
    with pytest.raises(UsageError, match=r"eva_lightning\.json: can not be read"):
        fit(tmp_path, module, [HuggingFaceExport()])
    assert module.iteration == 0


def test_a_hub_out_of_reach_ends_no_training_and_loses_no_export(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    config = PolicyConfig(path=str(tiny_folder))
    module = module_with(config, load_policy(config))
    with (
        pytest.warns(UserWarning, match=r"hf upload me/agent .*iteration-000002 \. --private` tries again"),
        pytest.raises(UsageError, match=r"hf upload me/agent .*final \. --private` tries again"),
    ):
        fit(tmp_path, module, [HuggingFaceExport(push_to="me/agent", every=2)], iterations=3)
    assert module.iteration == 3
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == ["final", "iteration-000002"]
