"""`eva fit | validate | test`: LightningCLI over modules, datamodules and callbacks.

The only file of the core that knows Lightning. It decides nothing: what is trained, and how, is
in the config; here is only where configs are found, what every run has, and what a checkpoint may not do.
"""

from __future__ import annotations

import io
import logging
import re
import signal
import sys
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import yaml  # type: ignore[import-untyped]
from jsonargparse import set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from eva_lightning.callbacks import (
    AgentProgressBar,
    AskedToEnd,
    BenchmarkEvaluation,
    IterationCheckpoint,
    QuarantineList,
    RolloutRefresh,
    Throughput,
    TrajectoryLog,
)
from eva_lightning.commands.extensions import name_extensions
from eva_lightning.commands.named_configs import found
from eva_lightning.commands.refusals import TerseParser, in_a_line
from eva_lightning.datamodules import RecordData
from eva_lightning.faults import UsageError
from eva_lightning.modules import PolicyModule
from eva_lightning.modules.telling import log_folder

DEFAULTS: dict[str, Any] = {
    "max_epochs": 1,
    "default_root_dir": "runs",
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 1,
    "use_distributed_sampler": False,
}


ALWAYS: dict[type[Callback], str | None] = {
    AskedToEnd: None,
    IterationCheckpoint: "enable_checkpointing",
    AgentProgressBar: "enable_progress_bar",
    Throughput: None,
    TrajectoryLog: None,
    QuarantineList: None,
    RolloutRefresh: None,
}
"""Callbacks that every run has, and the option of the trainer that switches them off."""


MISFIT = re.compile("loaded state dict|loading state_dict")
"""What torch says of a checkpoint that holds other parameters than those there are."""


class StageParser(TerseParser, LightningArgumentParser):
    """Lightning's parser, in few words."""


class SavedConfig(SaveConfigCallback):
    """Writes the config of a run into its folder; not every logger has one (MLflow's is a server's)."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.already_saved:
            return
        self.already_saved = True
        folder = log_folder(trainer)
        if trainer.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
            self.parser.save(
                self.config, folder / self.config_filename, skip_none=False, overwrite=True, multifile=False
            )


class StageCLI(LightningCLI):
    """LightningCLI, with some of its surprises taken out."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Benchmarks are asked in a test, and now and then in a fit: `benchmark` in a config."""
        parser.add_lightning_class_args(BenchmarkEvaluation, "benchmark")
        # The heading would else be the first line of its manual, cut where that breaks.
        (parser.groups or {})["benchmark"].title = "Benchmarks, asked by `eva test` and now and then in a fit"

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """A config that names a callback means to replace ours of that kind, not to have two."""
        named = config.get("callbacks") or []
        named = [*(named if isinstance(named, list) else [named]), *callbacks]
        wanted = [
            kind for kind, switch in ALWAYS.items() if switch is None or config.get(switch) is not False
        ]
        ours = [kind() for kind in wanted if not any(isinstance(one, kind) for one in named)]
        return super()._instantiate_trainer(config, [*callbacks, *ours])

    def instantiate_classes(self) -> None:
        """A class that refuses its settings is a wrong config, not a bug."""
        try:
            super().instantiate_classes()
        except (ValueError, MisconfigurationException) as problem:
            raise UsageError(in_a_line(str(problem))) from problem

    def before_instantiate_classes(self) -> None:
        """A checkpoint that can not be read is told now, and not after the policy is loaded."""
        given = self.config[self.subcommand].get("ckpt_path")
        if given and given not in ("last", "best", "hpc", "registry") and "://" not in str(given):
            _refuse_no_checkpoint(Path(given))

    def _run_subcommand(self, subcommand: str) -> None:
        """Only a user knows which policy a checkpoint belongs to."""
        given = self.config[subcommand].get("ckpt_path")
        try:
            super()._run_subcommand(subcommand)
        except UnpicklingError as problem:
            raise UsageError(
                f"ckpt_path {given}: holds more than data, which could run code as it is read; nothing of it "
                "was run; if you trust whoever made it: --weights_only false"
            ) from problem
        except SystemExit as end:
            if not isinstance(end.__context__, KeyboardInterrupt):
                raise
            signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning has made us deaf to it
            raise KeyboardInterrupt from None
        except (ValueError, RuntimeError) as problem:
            if not given or not MISFIT.search(str(problem)):
                raise
            raise UsageError(
                f"ckpt_path {given}: holds parameters of other number or size than this policy's; give the "
                "model that it was trained with"
            ) from problem

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """A checkpoint is data, unless the user says otherwise: ours hold nothing else."""
        given = super()._prepare_subcommand_kwargs(subcommand)
        if given.get("weights_only") is None:
            given["weights_only"] = True
        return given

    def _parse_ckpt_path(self) -> None:
        """Hyper-parameters inside a checkpoint never override the command line or a config."""


def _refuse_no_checkpoint(file: Path) -> None:
    """UsageError unless torch could have written it: an archive, or a folder of several."""
    if not file.exists():
        raise UsageError(f"ckpt_path {file}: no such file; give a checkpoint, or last")
    if file.is_file() and not zipfile.is_zipfile(file):
        raise UsageError(f"ckpt_path {file}: is no checkpoint, or not all of one; give another, or last")


def run_stage(words: Sequence[str], said: Mapping[str, str] | None = None) -> None:
    """Parse the words of `eva fit`, `validate` or `test`, and run it. `said` is what each is, for --help."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    name_extensions()
    _quieten()
    # Lightning reads the words there, and starts the processes of the other devices with them.
    typed, sys.argv = sys.argv, [sys.argv[0], *_in_full(words)]
    try:
        _run(said or {})
    except SIGTERMException:  # a SystemExit without a number, which is success
        raise SystemExit(143) from None
    finally:
        sys.argv = typed


def whole_config(words: Sequence[str]) -> dict[str, Any]:
    """The config that `eva fit` would run with these words, every default in it; nothing is made of it."""
    told, refused = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(told), redirect_stderr(refused):
            run_stage(["fit", *words, "--print_config"])
    except SystemExit as end:
        if end.code:  # its line begins with the name of another command
            line = refused.getvalue().strip().rpartition("\n")[2]
            raise UsageError(re.sub(r"^eva( fit)?: ", "", line)) from None
    config: dict[str, Any] = yaml.safe_load(told.getvalue())
    return config


def _run(said: Mapping[str, str]) -> None:
    StageCLI(
        PolicyModule,
        RecordData,
        subclass_mode_model=True,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        seed_everything_default=0,
        save_config_callback=SavedConfig,
        trainer_defaults=DEFAULTS,
        parser_class=StageParser,
        parser_kwargs={"parser_mode": "yaml", "prog": "eva"}
        | {name: {"description": what} for name, what in said.items()},
    )


SHORT = {
    "--fresh": "--benchmark.fresh",
    "--retry-errors": "--benchmark.retry_errors",
    "--retry_errors": "--benchmark.retry_errors",
    "--limit": "--data.limit",
}
"""What `eva test` is told most often, in short."""


def _spelled_out(word: str) -> str:
    """A short word at full length; a switch alone means true.

    >>> _spelled_out("--fresh"), _spelled_out("--fresh=false"), _spelled_out("--limit")
    ('--benchmark.fresh=true', '--benchmark.fresh=false', '--data.limit')
    """
    head, sign, value = word.partition("=")
    alone = not sign and head in SHORT and head != "--limit"
    return SHORT.get(head, head) + ("=true" if alone else sign + value)


def _in_full(words: Sequence[str]) -> list[str]:
    """The words as Lightning wants them: configs as paths, and in a test long words for short ones."""
    return found([_spelled_out(word) for word in words] if words[:1] == ["test"] else words)


def _quieten() -> None:
    """Take out what Lightning says of every run and nobody can act on."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "litlogger" not in record.getMessage()
    )
    for said in (".*transfer_batch_to_device.*", ".*LeafSpec.*", ".*Total length of `list`.*"):
        warnings.filterwarnings("ignore", said)
