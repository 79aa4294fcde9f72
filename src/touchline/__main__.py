"""``python -m touchline``: the command line where the program is not on the PATH."""

import sys

from touchline.cli import main

sys.exit(main())
