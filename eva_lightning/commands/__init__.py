"""Commands: one file for each word after `eva`, a typed function whose docstring is its manual.

They may use everything below and are imported only when called. To add one, write `NAME.py` with
`main(words)` and add a line to COMMANDS in cli.py; stages.py (`fit`, `validate`, `test`) alone knows
Lightning.
"""
