"""The error table: every error of the tree has a status, and those that may be tried again say when."""

from __future__ import annotations

import orjson
import pytest

import errors
from web.http.errors import STATUS_BY_ERROR, problem_of


def subclasses(kind: type[errors.ServiceError]) -> list[type[errors.ServiceError]]:
    return [found for sub in kind.__subclasses__() for found in (sub, *subclasses(sub))]


@pytest.mark.parametrize("kind", subclasses(errors.ServiceError))
def test_codes_are_short_words_and_unique(kind: type[errors.ServiceError]) -> None:
    assert kind.code.replace("_", "").isalpha()
    assert [other for other in subclasses(errors.ServiceError) if other.code == kind.code] == [kind]
    assert kind.retryable == (kind.retry_after_s is not None)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.MalformedBody("x"), 400),
        (errors.InvalidReading([errors.FieldError("/power", "wrong")]), 422),
        (errors.InvalidParameter([errors.FieldError("/query/limit", "wrong")]), 422),
        (errors.UnknownCharger("x"), 404),
        (errors.UnknownJob("x"), 404),
        (errors.UnknownModel("x"), 404),
        (errors.Conflict("x"), 409),
        (errors.QueueFull("threads"), 503),
        (errors.BrokerUnavailable("x"), 503),
        (errors.PredictionTimeout("x"), 504),
        (errors.ScoringFailed("x"), 500),
        (errors.ModelsUnavailable("x"), 503),
    ],
)
def test_each_error_has_its_status(error: errors.ServiceError, status: int) -> None:
    problem = problem_of(error, retry_location="/later")
    assert problem.status == status
    document = orjson.loads(problem.body("its-id"))
    assert (document["code"], document["request_id"]) == (error.code, "its-id")
    assert ("Retry-After" in problem.headers) == error.retryable
    assert ("Location" in problem.headers) == isinstance(error, errors.PredictionTimeout)


def test_the_table_names_only_errors_of_the_tree() -> None:
    assert set(STATUS_BY_ERROR) <= set(subclasses(errors.ServiceError))
