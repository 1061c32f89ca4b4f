"""Runs commands of the command line in a separate app, which raises errors as exceptions."""

from cyclopts import App

from seediff.cli.line import CommandLine


def runner(*commands):
    """A function that runs a line, and further words: the name of one of `commands`, then its arguments. `import_` is
    called `import`.
    """
    app = App()
    for command in commands:
        app.command(command, name=command.__name__.rstrip("_"))

    def run(line, *words):
        CommandLine(app, [*line.split(), *map(str, words)]).run()

    return run
