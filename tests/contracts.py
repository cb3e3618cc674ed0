"""A kind of contract for import-linter: a package imports nothing of ours but what is listed."""

from __future__ import annotations

from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


def _within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


class OnlyContract(Contract):
    """The modules of ``package`` import each other and those of ``allowed``, and nothing else of the checkout.

    import-linter's own "forbidden" lists what must not be imported: a new package would be allowed until somebody
    thinks of it.
    """

    type_name = "only"

    package = fields.StringField()
    allowed = fields.ListField(subfield=fields.StringField(), default=[])

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look at each import of the package's modules. A package that is not there is a mistake in the contract."""
        package = str(self.package)
        allowed = {package, *map(str, cast("list[object]", self.allowed))}
        for name in allowed:
            if name not in graph.modules:
                raise ValueError(f"contract {self.name!r}: there is no module {name}")
        ours = package.partition(".")[0]
        wrong = [
            (importer, imported)
            for importer in sorted({package, *graph.find_descendants(package)})
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if _within(imported, {ours}) and not _within(imported, allowed)
        ]
        return ContractCheck(kept=not wrong, metadata={"wrong": wrong})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """A line an import."""
        for importer, imported in check.metadata["wrong"]:
            output.print_error(f"- {importer} -> {imported}", bold=False)
