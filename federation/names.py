"""What goes by a module's code: the names of its types, its policy, its tag.

Never holds: what is done with them (ownership.py, stamping.py).
"""


def prefix_of(module: str) -> str:
    """`invoice-archive` owns InvoiceArchive and InvoiceArchiveEntry."""
    return "".join(word.capitalize() for word in module.split("-"))


def is_owned(name: str, module: str) -> bool:
    prefix = prefix_of(module)
    return name.startswith(prefix) and not name[len(prefix) :][:1].islower()


def policy_of(module: str) -> str:
    """The policy that a tenant has when it has the module."""
    return f"module:{module}"


def tag_of(module: str) -> str:
    """The tag of all that a contract without the module leaves out."""
    return f"module/{module}"
