"""The command line. Its modules are light: numpy, pydantic and plugins are imported by the commands that use them."""

from nestvec._cli.app import main

__all__ = ["main"]
