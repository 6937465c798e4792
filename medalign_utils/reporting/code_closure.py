"""What of the package a notebook's results depend on, as one hash.

Followed are names rather than modules: of `from medalign_utils.config import load_system`, that
function counts and all it reaches, also through imports inside functions and through
`medalign_utils.<name>`, which the package loads on first use. Docstrings, comments and layout do
not count.
"""

import ast
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

PACKAGE = "medalign_utils"
# Any other decorator may register what it decorates, which then is used without being named.
_PURE_DECORATORS = {"cache", "contextmanager", "dataclass", "lru_cache", "total_ordering"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# (module, attribute, attribute of that, ...); the module alone is all of it.
_Chain = tuple[str, ...]
_IMPORT = "import"  # in place of an attribute: what runs when the module is imported


def notebook_code(notebook: Path) -> str:
    """Return the code of a notebook's cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


class Package:
    """The package in a folder, parsed once.

    >>> package = Package(Path(__file__).parents[2])
    >>> sorted(package.closure("from medalign_utils import outputs; outputs.stem('05', 'pairs')"))
    ['medalign_utils.outputs.stem']
    """

    def __init__(self, root: Path) -> None:
        """Take the package under `root`."""
        self.root = root
        self._modules: dict[str, _Module] = {}

    def code_hash(self, code: str) -> str:
        """Return the SHA-256 of some code and of all that it reaches in the package.

        Files of the package that are not Python count if a module in the same folder is reached.
        """
        found = self._reached(_Module("", ast.parse(code), self))
        content = [ast.dump(ast.parse(code)), *(found[name].dump for name in sorted(found))]
        for folder in sorted({statement.folder for statement in found.values()}):
            files = sorted(f for f in folder.iterdir() if f.is_file() and f.suffix != ".py")
            content += [f"{f.name} {hashlib.sha256(f.read_bytes()).hexdigest()}" for f in files]
        return hashlib.sha256("\n".join(content).encode()).hexdigest()

    def closure(self, code: str) -> set[str]:
        """Return the names that some code reaches, each with its module."""
        found = self._reached(_Module("", ast.parse(code), self))
        return {f"{s.module}.{name}" for s in found.values() for name in s.names}

    def is_module(self, name: str) -> bool:
        """Return whether the package has a module of this name."""
        return name in self._modules or (
            name.split(".")[0] == PACKAGE and self._file(name).is_file()
        )

    def _file(self, module: str) -> Path:
        path = self.root.joinpath(*module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def _module(self, name: str) -> "_Module":
        if name not in self._modules:
            tree = ast.parse(self._file(name).read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                is_documented = isinstance(node, (ast.Module, ast.ClassDef, *_FUNCTIONS))
                if is_documented and ast.get_docstring(node) is not None:
                    del node.body[0]
            self._modules[name] = _Module(name, tree, self)
        return self._modules[name]

    def _reached(self, code: "_Module") -> dict[tuple[str, int], "_Statement"]:
        """Return the package's statements that code reaches, by module and place in it."""
        found: dict[tuple[str, int], _Statement] = {}
        to_do = [chain for statement in code.statements for chain in statement.uses]
        done = set(to_do)
        while to_do:
            statements, chains = self._step(*to_do.pop())
            for statement in statements:
                if found.setdefault((statement.module, statement.place), statement) is statement:
                    chains = [*chains, *statement.uses]
            to_do += {*chains} - done
            done |= {*chains}
        return found

    def _step(
        self, name: str, first: str = "*", *rest: str
    ) -> tuple[list["_Statement"], list[_Chain]]:
        """Return the statements behind an attribute of a module, and what else it stands for."""
        module = self._module(name)
        if first == _IMPORT:
            imported = {chain[0] for chains in module.imports.values() for chain in chains}
            parent = name.rpartition(".")[0] or name
            return module.effects, [(other, _IMPORT) for other in {parent, *imported}]
        chains: list[_Chain] = [(name, _IMPORT)]
        if first == "*":
            names = {*module.bound, *module.imports, *module.lazy}
            return [], chains + [(name, other) for other in names]
        if first in module.lazy:
            return [], [*chains, (module.lazy[first], first)]
        if first in module.bound or first in module.imports:
            return module.bound[first], chains + [(*c, *rest) for c in module.imports[first]]
        if self.is_module(f"{name}.{first}"):
            return [], [*chains, (f"{name}.{first}", *rest)]
        return [], chains


class _Statement:
    """One statement at the top level of a module."""

    def __init__(self, module: "_Module", place: int, code: ast.stmt, package: Package) -> None:
        self.module, self.place, self.code = module.name, place, code
        self._owner, self._package = module, package
        self.folder = package._file(module.name).parent
        self.imports = list(_imports(code, package))
        self.names = _names_bound(code)

    @cached_property
    def dump(self) -> str:
        return f"{self.module} {ast.dump(self.code)}"

    @cached_property
    def uses(self) -> list[_Chain]:
        """What of the package the statement uses."""
        chains: set[_Chain] = {(target[0], _IMPORT) for _, target in self.imports}
        local = defaultdict(set)
        for name, target in self.imports:
            local[name].add(target)
        for first, *attributes in _names_used(self.code):
            targets = self._owner.imports.get(first, set()) | local.get(first, set())
            chains |= {(*target, *attributes) for target in targets}
            if self.module and first in self._owner.bound:
                chains.add((self.module, first))
        return list(chains)


class _Module:
    """What the top level of a module binds, imports and does."""

    def __init__(self, name: str, tree: ast.Module, package: Package) -> None:
        self.name = name
        self.bound: defaultdict[str, list[_Statement]] = defaultdict(list)
        self.imports: defaultdict[str, set[_Chain]] = defaultdict(set)
        self.lazy: dict[str, str] = {}  # name -> the module that has it
        self.effects: list[_Statement] = []  # which do more than bind a name
        self.statements = [_Statement(self, i, s, package) for i, s in enumerate(tree.body)]
        for statement in self.statements:
            code = statement.code
            if isinstance(code, ast.If) and "TYPE_CHECKING" in ast.dump(code.test):
                continue
            if "_LAZY" in statement.names:
                self.lazy = ast.literal_eval(code.value)
            for bound in statement.names:
                self.bound[bound].append(statement)
            for bound, target in () if isinstance(code, _FUNCTIONS) else statement.imports:
                self.imports[bound].add(target)
            decorators = {ast.unparse(d).split("(")[0] for d in getattr(code, "decorator_list", ())}
            is_pure = {d.rpartition(".")[2] for d in decorators} <= _PURE_DECORATORS
            is_import = isinstance(code, ast.Import | ast.ImportFrom)
            if not (statement.names or is_import) or not is_pure:
                self.effects.append(statement)


def _names_bound(code: ast.stmt) -> set[str]:
    """Return the names that a top-level statement gives a value, save by imports."""
    if isinstance(code, (ast.ClassDef, *_FUNCTIONS)):
        return {code.name}
    nodes = list(ast.walk(code))
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names | {n.name for n in nodes if isinstance(n, (ast.ClassDef, *_FUNCTIONS))}


def _imports(code: ast.AST, package: Package) -> Iterator[tuple[str, _Chain]]:
    """Yield (name, what it is bound to) for each import of the package's in some code."""
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if package.is_module(alias.name):
                    yield alias.asname or PACKAGE, (alias.name if alias.asname else PACKAGE,)
        elif isinstance(node, ast.ImportFrom) and package.is_module(node.module or ""):
            for alias in node.names:
                yield alias.asname or alias.name, (node.module, alias.name)


def _names_used(code: ast.AST) -> Iterator[list[str]]:
    """Yield the names in code, each with its attributes: `a.b.c` as ["a", "b", "c"]."""
    attributes: list[str] = []
    node = code
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        yield [node.id, *attributes]
    else:
        for child in ast.iter_child_nodes(node):
            yield from _names_used(child)
