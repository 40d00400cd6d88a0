"""Shell lines in a notebook. Alone here because every kernel loads it before the first cell: it must be light."""

import subprocess


def strict_shell(shell) -> None:
    """Make `!command` and `!!command` raise when the command fails."""

    def system(command: str) -> None:
        command = shell.var_expand(command, depth=1)
        done = subprocess.run(command, shell=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        print(done.stdout, end="")
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command)

    shell.system = system
    shell.getoutput = lambda command, split=True, depth=0: subprocess.run(
        shell.var_expand(command, depth=depth + 1), shell=True, text=True, check=True, capture_output=True
    ).stdout.splitlines()
