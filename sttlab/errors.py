"""The error tree.

SttlabError
├── ConfigError (also ValueError)    a setting out of its bounds, an unreadable settings file
├── LabelError (also ValueError)     a label file that cannot be read, a label that is not valid
├── MissingExtra (also ImportError)  an optional package is not installed
├── SourceError
│   ├── DeviceUnavailable            no PortAudio, no such device, a rate or a permission refused
│   └── DecodeError                  a file that is not audio, or is broken
├── ModelError
│   ├── ModelNotFound                no weights under that name, and how to get them
│   └── TranscribeError              the engine failed on one utterance
├── SessionError                     a session in the wrong state, a subscriber that fell behind
├── KeptError                        a kept session can't be read, or nothing can be kept there
├── WorkersFailed                    processes or machines that share the work are gone
└── ServerError                      a port in use, a server that did not start

Every message says what happened, with which value, and what to do.
"""

from __future__ import annotations

# Packages that a module of sttlab imports at its top, with the extra that brings each.
_EXTRAS = {
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "websockets"), "server"),
    **dict.fromkeys(("anywidget", "ipywidgets", "matplotlib", "traitlets"), "notebook"),
}


class SttlabError(Exception):
    """Base class of all errors that sttlab raises on purpose."""


class ConfigError(SttlabError, ValueError):
    """A setting is unknown, of the wrong type or out of its bounds."""


class LabelError(SttlabError, ValueError):
    """Labels could not be read or written, or one of them is not valid."""


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
        self._about = package, extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        """Let it come back from another process as it was."""
        return type(self), self._about

    @classmethod
    def behind(cls, error: ModuleNotFoundError) -> MissingExtra | None:
        """Make the error that names the remedy; None if no extra brings the missing package."""
        package = (error.name or "").partition(".")[0]
        return cls(package, _EXTRAS[package]) if package in _EXTRAS else None


class SourceError(SttlabError):
    """Audio could not be captured or read."""


class DeviceUnavailable(SourceError):
    """A microphone could not be found or opened."""


class DecodeError(SourceError):
    """A file holds no audio that can be decoded."""


class ModelError(SttlabError):
    """A speech-to-text model was not found, did not load, or failed."""


class ModelNotFound(ModelError):
    """No weights of that name are here, and none could be fetched."""


class TranscribeError(ModelError):
    """The engine failed on one utterance; the next may work."""


class SessionError(SttlabError):
    """A session was used in the wrong state, or a subscriber fell too far behind."""


class KeptError(SttlabError):
    """A kept session can't be read, or nothing can be kept in a folder."""


class WorkersFailed(SttlabError):
    """The processes or machines that shared the work are gone, or don't answer."""


class ServerError(SttlabError):
    """The server could not be started or stopped."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback, which would say no more."""
        return [f"{type(self).__name__}: {self}"]
