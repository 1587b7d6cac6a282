"""Folders that somebody else may have prepared: looked at before a library opens what is in them.

Embedded databases and caches trust their files: they follow links, open pipes, and delete what a file tells them to.
So whoever hands a folder to one of them checks it first.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: What SQLite writes at the very end of a journal that names another file.
_JOURNAL_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class Untrusted(OSError):
    """A folder, or something in it, may not be handed to the library that would open it.

    The message says why, and what to do.
    """

    def __str__(self) -> str:
        return str(self.args[0])


def check_owner(folder: Path) -> None:
    """Raises `Untrusted` for a folder that belongs to neither this user nor root, or that others may write to.

    Does nothing where files have no owner. A link to a folder counts as the folder, if whoever made it may be trusted.
    """
    if not hasattr(os, "geteuid"):
        return
    link, found = folder.lstat(), folder.stat()
    trusted = (0, os.geteuid())
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in trusted:
        raise Untrusted(f"{folder} is a link that belongs to another user ({link.st_uid}); choose another path")
    if found.st_uid not in trusted:
        raise Untrusted(
            f"{folder} belongs to another user ({found.st_uid}), who could put anything into it; choose another path"
        )
    if found.st_mode & _OTHERS_WRITE:
        raise Untrusted(
            f"others may write to {folder} (its mode is {stat.S_IMODE(found.st_mode):04o}); look at what is in it, and "
            f"run chmod go-w on it"
        )


def check_file(path: Path) -> None:
    """Raises `Untrusted` unless there is nothing of that name, or a file that is in this folder only.

    Links, pipes and devices lead elsewhere. A journal of SQLite's may not name another file: SQLite would delete that
    one, wherever it is.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise Untrusted(f"{path} is {_kind(found.st_mode)}, where a file is expected; remove it")
    if found.st_nlink > 1:
        raise Untrusted(f"{path} is the same file as another one elsewhere (a hard link); remove it, or copy the file")
    if path.name.endswith("-journal") and _names_another(path):
        raise Untrusted(f"{path} is a journal that would have SQLite delete a file of another name; remove it")


def check_tree(folder: Path) -> None:
    """Raises `Untrusted` for the first thing below a folder that is neither a folder nor passes `check_file`."""
    for path in _below(folder):
        check_file(path)


def leads_out(relative: str) -> bool:
    """Whether a path that a file names could be outside of the folder that it counts from, on any system."""
    parts = relative.replace("\\", "/").split("/")
    return not relative or "\0" in relative or ":" in parts[0] or parts[0] == "" or ".." in parts


def _below(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _below(Path(entry.path))
            else:
                yield Path(entry.path)


def _names_another(journal: Path) -> bool:
    with journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - len(_JOURNAL_MAGIC)))
        # At the beginning of a journal stands the same mark.
        return file.tell() > 0 and file.read() == _JOURNAL_MAGIC


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "no file")
