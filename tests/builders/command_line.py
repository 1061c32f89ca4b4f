"""Runs commands of the command line in a separate app, which raises errors as exceptions."""

from cyclopts import App

from seediff.cli.line import record


def runner(*commands):
    """A function that runs a line: the name of one of `commands`, then its arguments. `import_` is called `import`."""
    app = App(result_action="return_value", config=(record,))
    for command in commands:
        app.command(command, name=command.__name__.rstrip("_"))

    def run(*words):
        app([str(word) for word in words], exit_on_error=False, print_error=False)

    return run
