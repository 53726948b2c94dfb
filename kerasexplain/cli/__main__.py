"""`python -m kerasexplain.cli`."""

import sys

from kerasexplain.cli import main

sys.exit(main())
