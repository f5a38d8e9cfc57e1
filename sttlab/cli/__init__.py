"""The command line.

Heavy packages are imported only when a command needs them, so that --help is quick. Work that
blocks runs on another thread, so that Ctrl-C works while torch loads or a model decodes.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from sttlab import __version__
from sttlab.bench.commands import app as bench
from sttlab.cli.cluster import cache
from sttlab.cli.demo import demo
from sttlab.cli.kept import compare, replay
from sttlab.cli.listing import devices, lab, models
from sttlab.cli.serve import serve
from sttlab.cli.sweep import sweep
from sttlab.cli.terminal import FAILED, INTERRUPTED, WRONG_CALL, failed, say, say_of
from sttlab.cli.transcribe import transcribe
from sttlab.errors import ConfigError, MissingExtra, SttlabError

# Typer raises click's UsageError for a wrong call, but imports it from a place that changes.
_UsageError: type[Any] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="sttlab",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Live speech to text whose voice activity detection you can see and tune.

    \b
    sttlab demo                                see it work, without a microphone
    sttlab serve                               your microphone, as text, in the browser and at /ws
    sttlab transcribe talk.m4a --format srt    a recording, as subtitles
    sttlab replay kept --set silence_timeout_s=0.4   a kept session under another setting
    sttlab sweep talks --output results        settings, scored on labelled recordings
    sttlab lab                                 the notebooks
    """,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong call, 130 stopped with Ctrl-C.",
)
for command in (serve, transcribe, replay, compare, sweep, cache, devices, models):
    app.command()(command)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(lab)
app.command()(demo)
app.add_typer(bench, name="bench")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Pipes are not UTF-8 on Windows; a file's name may hold bytes that are not valid text.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    logging.basicConfig(format="sttlab: %(message)s")
    try:
        code = app(args, prog_name="sttlab", standalone_mode=False) or 0
        sys.stdout.flush()
    except _UsageError as error:
        call = error.ctx.command_path if error.ctx else "sttlab"
        what = error.format_message().rstrip(".")
        code = failed(f"{what} ({call} --help says more)", WRONG_CALL)
    except ConfigError as error:
        code = failed(str(error), WRONG_CALL)
    except SttlabError as error:
        code = failed(str(error))
    except ModuleNotFoundError as error:
        missing = MissingExtra.behind(error)
        if not missing:
            raise
        code = failed(str(missing))
    except OSError as error:
        code = FAILED
        if error.errno in (errno.EPIPE, errno.EINVAL) and error.filename is None:
            # A reader such as `head` has closed the pipe (EINVAL on Windows). That is no error.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            say_of(error.filename, error)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        say("stopped")
        sys.stdout.flush()
        os._exit(code)  # sys.exit would wait for a model that loads or decodes
    return int(code)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
) -> None:
    pass
