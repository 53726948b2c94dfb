"""`python -m kerasexplain`: the command."""

import sys

from kerasexplain.cli import main

sys.exit(main())
