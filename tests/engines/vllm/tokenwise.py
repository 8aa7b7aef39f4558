"""Which weights wrote each token of a conversation, by its log-probability."""

import torch

from eva_lightning.policy.inputs import lay_out, trajectory_inputs
from eva_lightning.policy.logprobs import token_logprobs
from eva_lightning.reports.diagnosis.conversations import picture

CLOSE = 5e-5


def logprobs(policy, record, pixels=picture):
    """Of every token that was written, under the policy as it is."""
    laid = lay_out([trajectory_inputs(record, policy, pixels)])
    banned = policy.renderer.banned_ids
    with torch.no_grad():
        return token_logprobs(policy.model.eval(), laid, temperature=1.0, banned_ids=banned).logprobs


def written_by_old(record, by_old, by_new):
    """How many tokens the old weights wrote: those before are theirs, all behind are the new ones'."""
    told = torch.tensor([logprob for turn in record.turns for logprob in turn.logprobs])
    older, newer = (told - by_old).abs() <= CLOSE, (told - by_new).abs() <= CLOSE
    foreign = (~newer).nonzero()
    cut = int(foreign.max()) + 1 if len(foreign) else 0
    # One that ended before the new weights came has nothing behind the cut.
    assert older[:cut].all() and (cut == len(told) or not older[cut:].all())
    return cut
