"""``python -m pgx_compiler``."""

import sys

from pgx_compiler.cli import main

sys.exit(main())
