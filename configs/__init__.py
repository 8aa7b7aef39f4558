"""Configs that ship: the recipes of the three stages, and a folder for each system, benchmark and demo.

`eva fit --config grpo.yaml` looks here, too. A config shows only what differs from the defaults in the code,
and each of them is run by a test. To add one, put a file here; to change one, give a second `--config`
after it.
"""
