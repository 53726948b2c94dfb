"""`python -m kerasexplain.cli`."""

import sys

from kerasexplain.cli.command import main

sys.exit(main())
