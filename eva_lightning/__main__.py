"""`python -m eva_lightning ...` is `eva ...` with the working directory importable, for your own classes."""

import sys

from eva_lightning.cli import main

sys.exit(main())
