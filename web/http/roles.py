"""The role that each view needs. A view below `/api/v1/` that declares none is refused at start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar

from flask import Flask

Role = Literal["read", "predict", "admin"]
View = TypeVar("View", bound=Callable[..., Any])

_ROLE: Final = "_role_needed"
API: Final = "/api/v1"


class RoleMissing(Exception):
    """Raised at start for a view that declares no role."""


def needs(role: Role) -> Callable[[View], View]:
    """Declare the role that a key needs for a view, or for one method of a `MethodView`.

    `read` is granted by every role.
    """

    def decorate(view: View) -> View:
        vars(view)[_ROLE] = role
        return view

    return decorate


def roles_of(app: Flask) -> dict[tuple[str, str], Role]:
    """The role by endpoint and method, for every route below `/api/v1/`. Raises `RoleMissing`."""
    found: dict[tuple[str, str], Role] = {}
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith(API):
            continue
        view = app.view_functions[rule.endpoint]
        for method in rule.methods or ():
            found[rule.endpoint, method] = role_of(view, method, rule.rule)
    return found


def role_of(view: Callable[..., Any], method: str, path: str) -> Role:
    """The role that a view needs for a method. Raises `RoleMissing`, with the path, if it declares none."""
    if method == "OPTIONS":  # answered by Flask
        return "read"
    view_class = getattr(view, "view_class", None)
    if view_class is not None:
        name = "get" if method == "HEAD" and not hasattr(view_class, "head") else method.lower()
        view = getattr(view_class, name)
    role: Role | None = getattr(view, _ROLE, None)
    if role is None:
        raise RoleMissing(f"{method} {path} declares no role")
    return role
