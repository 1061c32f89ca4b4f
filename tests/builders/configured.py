"""The configuration that values of a command line or a program make."""

from seediff.config.resolve import configure_run


def configured(kind, *given, **options):
    """As `configure_run`, without the model."""
    return configure_run(kind, *given, **options)[0]
