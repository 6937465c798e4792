"""Read YAML files of `params/` strictly, and check the names in them."""

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator

from medalign_utils.errors import ParamsError, suggest
from medalign_utils.paths import short

# The name of an experiment or system becomes a file name, so it must stay inside its folder.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_known(kind: str, known: Iterable[str], name: str) -> str:
    """Return a name; ParamsError if it is not one of the `known`."""
    if name not in known:
        raise ParamsError(f"no {kind} {name!r}{suggest(name, known)}")
    return name


def one_of(kind: str, known: Iterable[str]) -> Any:
    """Return a pydantic type that accepts only names in `known`."""
    return Annotated[str, AfterValidator(partial(check_known, kind, known))]


def check_name(name: str) -> None:
    """Check that the name of a file in `params/` can name files and folders of a run."""
    if not _NAME.fullmatch(name):
        raise ParamsError(
            f"{name!r} becomes a name of files and folders, so it may only contain letters (a to "
            "z), digits, '.', '_' and '-'; rename its file"
        )


# The C loader is ten times as fast, but not every PyYAML has it.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """A YAML loader that rejects repeated keys and ambiguous numbers.

    Plain PyYAML keeps the last of repeated keys, and reads 010 as 8 and 1:30 as 90.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        if any(key.value == "<<" for key, _ in node.value):
            message = (
                "merge keys (<<) are not supported; to inherit from an experiment, use `base:`"
            )
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if repeated := [key for key in keys if keys.count(key) > 1]:
            message = f"the key {repeated[0]!r} appears twice"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if not re.fullmatch(r"[-+]?(0|[1-9][0-9_]*)", node.value):
            value = super().construct_yaml_int(node)
            message = f"{node.value} would be read as {value}; write {value}, or put it in quotes"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        return super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the keys of a file in `params/`; ParamsError if it is not a YAML mapping."""
    if not path.is_file():
        raise ParamsError(f"no file {path}")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except UnicodeDecodeError:
        raise ParamsError(f"{short(path)}: not UTF-8") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{short(path)}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{short(path)}: expected `key: value` lines")
    return content
