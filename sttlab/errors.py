"""The error tree.

SttlabError
├── ConfigError (also ValueError)    a setting out of its bounds, an unreadable settings file
├── LabelError (also ValueError)     a label file that cannot be read, a label that makes no sense
├── MissingExtra (also ImportError)  an optional package is not installed
├── SourceError
│   ├── DeviceUnavailable            no PortAudio, no such device, a rate or a permission refused
│   └── DecodeError                  a file that is not audio, or is broken
├── ModelError
│   ├── ModelNotFound                no weights under that name, and how to get them
│   └── TranscribeError              the engine failed on one utterance
├── SessionError                     a session in the wrong state, a listener that fell behind
└── ServerError                      a port taken, a server that did not come up

Every message says what happened, with which value, and what to do.
"""

from __future__ import annotations

# The extras of what whole parts of sttlab import, rather than a function when it is called.
_EXTRAS = {
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "websockets"), "server"),
    **dict.fromkeys(("anywidget", "ipywidgets", "matplotlib"), "notebook"),
}


class SttlabError(Exception):
    """Root of everything sttlab raises on purpose."""


class ConfigError(SttlabError, ValueError):
    """A setting is unknown, of the wrong type or out of its bounds."""


class LabelError(SttlabError, ValueError):
    """Labels could not be read or written, or one of them makes no sense."""


class MissingExtra(SttlabError, ImportError):
    """An optional package is needed and not installed.

    Parameters
    ----------
    package : str
        The module that could not be imported.
    extra : str
        The extra of sttlab that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'sttlab[{extra}]'")

    @classmethod
    def behind(cls, error: ModuleNotFoundError) -> MissingExtra | None:
        """Make the error that names the remedy; None if no extra brings what was not found."""
        package = (error.name or "").partition(".")[0]
        return cls(package, _EXTRAS[package]) if package in _EXTRAS else None


class SourceError(SttlabError):
    """Sound could not be had."""


class DeviceUnavailable(SourceError):
    """A microphone could not be found or opened."""


class DecodeError(SourceError):
    """A file holds no audio that can be decoded."""


class ModelError(SttlabError):
    """A speech-to-text model could not be had or did not work."""


class ModelNotFound(ModelError):
    """No weights of that name are here, and none could be fetched."""


class TranscribeError(ModelError):
    """The engine failed on one utterance; the next may work."""


class SessionError(SttlabError):
    """A session was used in the wrong state, or a listener fell too far behind."""


class ServerError(SttlabError):
    """The server could not be started or stopped."""
