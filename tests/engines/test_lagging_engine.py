"""An engine that lags writes with the weights of some hand-overs before; until then with the first ones."""

import torch

from eva_lightning.engines.lagging_engine import LaggingEngine
from eva_lightning.policy.loading import PolicyConfig, load_policy


def test_weights_arrive_as_many_hand_overs_late_as_it_lags(tiny_folder):
    policy = load_policy(PolicyConfig(path=str(tiny_folder), dtype="float32"))
    engine = LaggingEngine(policy, lag=2)
    name, weight = next(iter(engine.policy.backbone.named_parameters()))
    found = []
    for version in range(1, 6):
        engine.take_weights(lambda number=version: [(name, torch.full_like(weight, number))], version)
        engine.take_weights(list, version)  # the same version once more changes nothing
        found.append((engine.policy_version, float(weight.flatten()[0])))
    engine.close()
    assert found == [(1, 1.0), (1, 1.0), (1, 1.0), (2, 2.0), (3, 3.0)]
