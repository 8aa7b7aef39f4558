"""Models and decoders land on this process's own GPU. The device "meta" stands in for one: it holds a model
anywhere.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from eva_lightning.commands.engine_choice import choose_engine
from eva_lightning.device import on_card, own_card, use_device, wait_for
from eva_lightning.engines.checkpoint_engine import CheckpointEngine

META = torch.device("meta")


@pytest.fixture
def on_meta():
    use_device(META)
    yield
    use_device(None)


def in_a_thread(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def device_of(engine):
    return next(engine.policy.model.parameters()).device


def test_where_there_is_no_gpu_everything_is_on_the_cpu():
    if not torch.cuda.is_available():
        assert own_card() == in_a_thread(own_card) == torch.device("cpu")
    with on_card(torch.device("cpu")):
        wait_for(torch.device("cpu"))


def test_a_device_in_use_holds_in_every_thread(on_meta):
    assert own_card() == in_a_thread(own_card) == META


def test_a_checkpoint_that_answers_is_put_on_the_card(tiny_folder, on_meta):
    engine = choose_engine(str(tiny_folder), None, None, "transformers")
    assert device_of(engine) == META
    engine.close()


def test_a_judge_that_is_first_asked_by_another_thread_is_put_on_the_card(tiny_folder, on_meta):
    judge = CheckpointEngine(str(tiny_folder))
    assert device_of(in_a_thread(lambda: judge._inner)) == META
    judge.close()
