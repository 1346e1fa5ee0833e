"""The one error that a user of the command line can cause and mend."""


class InputError(ValueError):
    """Input that cannot be used: a file, a configuration value, an annotation.

    The message is one sentence that names the value, what was expected and what to do.
    `volhuman.main` prints it and exits with code 2; in a folder of photographs the
    other photographs are still processed.
    """
