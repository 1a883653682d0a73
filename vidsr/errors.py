"""What can go wrong, as a user would name it.

    VidsrError                   the root: one line for the user, exit code 1
    ├── UsageError               an option or argument that makes no sense; exit code 2
    ├── InputError               the input cannot be read: missing, empty, no video, broken
    ├── OutputError              the output cannot be written: exists, no space, no permission
    │   └── IncompatibleStreams  the target container cannot hold a stream of the source
    ├── ProofError               the finished file is not what it must be; it was not put in place
    ├── JobError                 a job folder belongs to another input or other settings
    ├── WeightsError             weights that are missing, damaged or of another architecture
    ├── BackendUnavailable       a backend that cannot run here; the only one the ladder steps over
    ├── EngineError              a TensorRT engine that cannot be built, trusted or kept
    ├── OutOfMemory              a batch that did not fit; answered with a smaller batch, then tiles
    └── TrainingError            training cannot start or go on; nothing already trained is lost

Every message is one line that names the file where there is one and says what to do.
"""

from __future__ import annotations


class VidsrError(Exception):
    """Something a user can understand and act on; its text is shown as it is."""

    exit_code = 1


class UsageError(VidsrError):
    """An option or argument that makes no sense."""

    exit_code = 2


class InputError(VidsrError):
    """The input cannot be read as video."""


class OutputError(VidsrError):
    """The output cannot be written."""


class IncompatibleStreams(OutputError):
    """The target container cannot hold a stream of the source."""


class ProofError(VidsrError):
    """The finished file differs from what the source demands."""


class JobError(VidsrError):
    """A job folder that the present command may not continue."""


class WeightsError(VidsrError):
    """Weights that cannot be used."""


class BackendUnavailable(VidsrError):
    """A backend that cannot run on this machine; the message is the reason."""


class EngineError(VidsrError):
    """A TensorRT engine that cannot be built, trusted or kept."""


class OutOfMemory(VidsrError):
    """A batch that did not fit into memory."""


class TrainingError(VidsrError):
    """Training that cannot start or go on."""
