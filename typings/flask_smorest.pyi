# Types of the part of flask-smorest 0.47 that is used here; the package ships none.
from collections.abc import Callable
from typing import Any, TypeVar

from apispec import APISpec
from flask import Blueprint as FlaskBlueprint
from flask import Flask
from marshmallow import Schema
from webargs.flaskparser import FlaskParser

_View = TypeVar("_View", bound=Callable[..., Any])
_ViewOrClass = TypeVar("_ViewOrClass", bound=Callable[..., Any])
_Schema = Schema | type[Schema] | dict[str, Any]

class Blueprint(FlaskBlueprint):
    ARGUMENTS_PARSER: FlaskParser
    def __init__(
        self, name: str, import_name: str, *, url_prefix: str | None = ..., description: str = ...
    ) -> None: ...
    def route(self, rule: str, **options: Any) -> Callable[[_ViewOrClass], _ViewOrClass]: ...
    def doc(self, **kwargs: Any) -> Callable[[_View], _View]: ...
    # Not _View: the decorator supplies the parsed arguments, so the view's signature changes.
    def arguments(
        self, schema: _Schema, *, location: str = ..., **kwargs: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...
    def response(
        self,
        status_code: int,
        schema: _Schema | None = ...,
        *,
        description: str | None = ...,
        content_type: str | None = ...,
        headers: dict[str, Any] | None = ...,
    ) -> Callable[[_View], _View]: ...
    def alt_response(
        self,
        status_code: int,
        *,
        schema: _Schema | None = ...,
        description: str | None = ...,
        content_type: str | None = ...,
        headers: dict[str, Any] | None = ...,
    ) -> Callable[[_View], _View]: ...

class Api:
    DEFAULT_ERROR_RESPONSE_NAME: str
    spec: APISpec
    def __init__(self, app: Flask | None = ..., *, spec_kwargs: dict[str, Any] | None = ...) -> None: ...
    def register_blueprint(self, blueprint: FlaskBlueprint) -> None: ...
