"""The errors a user can cause, one family; the command line prints each as one line.

A message states the value, the rule and the cure: "seed.wav holds 12 samples; this model needs at
least 1024 (its n_fft)". The exit code belongs to the class, so a script can tell the cases apart.
"""


class Error(Exception):
    """Root of everything wavegen raises on purpose; its text is one line a user can act on."""

    exit_code = 1


class UsageError(Error):
    """An argument, flag or configuration value is out of range or unknown."""

    exit_code = 2


class AudioError(Error):
    """A file of sound cannot be used: the message names the file and the reason."""

    exit_code = 2


class OutputError(Error):
    """Writing failed or was refused: existing file, no permission, full disk, folder in use."""

    exit_code = 3


class CheckpointError(Error):
    """A model file or training state is damaged, foreign or does not fit."""

    exit_code = 4


class DivergedError(Error):
    """Training left the numbers' range and could not be brought back."""

    exit_code = 5
