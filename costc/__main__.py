"""`python -m costc`."""

import sys

from costc.cli import main

sys.exit(main())
