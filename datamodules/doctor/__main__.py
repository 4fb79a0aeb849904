"""The command line of the doctor."""

import sys

from datamodules.doctor.command import main

sys.exit(main())
