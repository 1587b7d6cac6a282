"""The demo's texts: docstrings of the Python standard library, read from its sources without importing them."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from nestvec.types import Document

#: Most characters of a text; longer paragraphs are cut.
LONGEST = 200

#: Where to look, in this order: modules of general use that are written in Python.
MODULES = (
    "json", "csv", "shutil", "os", "posixpath", "pathlib", "re", "random", "statistics", "datetime",
    "calendar", "heapq", "bisect", "functools", "subprocess", "threading", "queue", "socket", "ssl",
    "http.client", "http.server", "urllib.request", "urllib.parse", "smtplib", "zipfile", "tarfile", "gzip",
    "bz2", "lzma", "hashlib", "hmac", "secrets", "uuid", "base64", "logging", "argparse", "configparser",
    "tempfile", "glob", "fnmatch", "textwrap", "string", "difflib", "fractions", "locale", "gettext", "doctest",
    "pdb", "timeit", "inspect", "ast", "dis", "pickle", "copy", "shelve", "webbrowser", "wave", "mimetypes",
    "html", "ipaddress", "getpass", "platform", "email.utils", "concurrent.futures.thread", "asyncio.tasks",
    "asyncio.runners", "contextlib", "collections", "dataclasses", "enum", "typing", "types", "importlib.util",
    "linecache", "tokenize", "selectors", "stat", "filecmp", "fileinput", "netrc", "plistlib", "pprint",
    "reprlib", "traceback", "warnings", "weakref", "xml.etree.ElementTree", "zipapp",
)  # fmt: skip


def docstrings(limit: int, first: Sequence[str] = ()) -> list[Document]:
    """The first paragraphs of `limit` docstrings: the same ones for each version of Python.

    Ids are qualified names, such as `json.dumps`. Those in `first` come first, so that a small choice holds
    them, too; names that this Python does not have are left out.
    """
    found = {document.id: document for document in _walk()}
    wanted = [found[name] for name in dict.fromkeys(first) if name in found]
    rest = [document for name, document in found.items() if name not in set(first)]
    return [*wanted, *rest][:limit]


def _walk() -> Iterator[Document]:
    root = Path(sysconfig.get_path("stdlib"))
    for module in MODULES:
        source = _source(root, module)
        if source is not None:
            yield from _documents(module, ast.parse(source.read_bytes()))


def _source(root: Path, module: str) -> Path | None:
    place = root.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _documents(module: str, tree: ast.Module) -> Iterator[Document]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            text = _first_paragraph(ast.get_docstring(node) or "")
            if text:
                yield Document(f"{module}.{node.name}", text)


def _first_paragraph(docstring: str) -> str:
    return " ".join(docstring.split("\n\n", maxsplit=1)[0].split())[:LONGEST].strip()
