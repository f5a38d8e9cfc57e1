"""`python -m sttlab` is the command `sttlab`."""

from sttlab.cli import main

raise SystemExit(main())
