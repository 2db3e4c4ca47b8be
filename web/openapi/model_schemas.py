"""Request and response schemas of `/api/v1/models`. The descriptions state units and meanings."""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema, fields, validate

from tasks.monitoring.drift_counts import DEFAULT_WINDOW, STATUSES, WINDOWS
from web.openapi.answer_fields import number as _number
from web.openapi.answer_fields import text as _text
from web.openapi.answer_fields import time as _time


class ModelSchema(Schema):
    """A model version that workers hold."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    name = _text("failure, maintenance or anomaly.")
    version = _text("The version folder's name.")
    type = _text("What kind of model.")
    status = _text("active, or partial while workers differ.")
    loaded_at = _time("When the worker loaded it.", allow_none=True)
    trained_at = _time("When it was trained.", allow_none=True)
    trained_on = fields.Raw(required=True, allow_none=True)
    metrics = fields.Raw(required=True, allow_none=True)
    shadow = fields.Raw(
        required=True,
        allow_none=True,
        metadata={"description": "`{version, problem}` of the version that scores beside it, if any."},
    )
    refused = fields.Raw(
        required=True,
        allow_none=True,
        metadata={
            "description": "`{version, problem}` of the active version that a worker has refused, if any. "
            "This one serves in its place."
        },
    )


class ModelsSchema(Schema):
    """All model versions that workers hold."""

    models = fields.List(fields.Nested(ModelSchema), required=True)
    total = fields.Integer(required=True)


class ReloadSchema(Schema):
    """The result of a reload."""

    status = _text("reloaded, or requested while some worker has not answered yet.")
    workers = fields.Integer(required=True, metadata={"description": "Worker processes that hold models."})
    models = fields.List(fields.Nested(ModelSchema), required=True)


class ModelCardSchema(Schema):
    """A model card: the versions, and the manifest of the active one."""

    name = _text("failure, maintenance or anomaly.")
    active = _text("The active version.")
    shadow = _text("The version that scores beside it without answering.", allow_none=True)
    versions = fields.List(fields.String(), required=True)
    held = fields.List(
        fields.Raw(), required=True, metadata={"description": "Version and last problem of each worker."}
    )
    alerts = fields.Raw(
        required=True,
        allow_none=True,
        metadata={
            "description": "`{policy, threshold, reason}`: the failure probability from which an alert opens "
            "under ML_ALERT_POLICY. `threshold` is null if none keeps the promise, and `reason` says why. "
            "Null for other models."
        },
    )
    card = fields.Raw(
        required=True,
        metadata={
            "description": "The active version's manifest. A horizon whose `carried_from` is not null was "
            "not observed in training; its `metrics` have the `reason` and no figure."
        },
    )


class ActivateSchema(Schema):
    """The JSON body that names a version."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    version = fields.String(required=True, metadata={"description": "A version folder's name."})


class SwitchSchema(Schema):
    """The result of a switch or a verification."""

    name = _text("The model.")
    version = _text("The version.")
    status = _text("active, shadow, verified, or requested while some worker has not switched yet.")


class DriftQuerySchema(Schema):
    """Query parameters of a drift report."""

    class Meta:
        """Unknown fields are ignored."""

        unknown = EXCLUDE

    window = fields.String(
        load_default=DEFAULT_WINDOW,
        validate=validate.OneOf(list(WINDOWS)),
        metadata={"description": "How far back: whole hours and the one that runs."},
    )


class DistributionSchema(Schema):
    """A live distribution compared with that of training."""

    psi = _number("Population stability index; null for fewer than 500 readings.", allow_none=True)
    status = _text(
        "stable below 0.1, look below 0.25, then drifted; short_history: the pasts gathered so far are "
        "shorter than those of training, which says nothing of the chargers.",
        validate=validate.OneOf(STATUSES),
    )
    readings = fields.Integer(required=True, metadata={"description": "Readings that count here."})
    missing_share_now = _number("Of these readings, without this value.", allow_none=True)
    missing_share_training = _number("The same in training.")
    edges = fields.List(fields.Float(), required=True, metadata={"description": "Between the bins."})
    shares_now = fields.List(
        fields.Float(),
        required=True,
        allow_none=True,
        metadata={"description": "Of each bin, missing values last."},
    )
    shares_training = fields.List(fields.Float(), required=True)


class FeatureDriftSchema(DistributionSchema):
    """The drift of one feature."""

    feature = _text("The model's name for it.")
    source = _text(
        "reading: of the reading itself; history: made of the charger's past, and compared among readings "
        "that have one.",
        validate=validate.OneOf(["reading", "history"]),
    )
    seasonal = fields.Boolean(
        required=True, metadata={"description": "It follows the seasons: look from 1.5, drifted from 2.5."}
    )


class HistoryShareSchema(Schema):
    """The share of readings with a history, live and in training."""

    share_now = _number("Readings with a past.", allow_none=True)
    share_training = _number("The same in training.", allow_none=True)
    short = fields.Boolean(
        required=True, metadata={"description": "Most pasts are shorter than nine of ten in training."}
    )


class DriftSchema(Schema):
    """A drift report of the active version."""

    name = _text("failure, maintenance or anomaly.")
    version = _text("The active version; counting begins anew with each.")
    window = _text("How far back.", validate=validate.OneOf(list(WINDOWS)))
    status = _text("The worst of score and features that can be judged.", validate=validate.OneOf(STATUSES))
    readings = fields.Integer(
        required=True, metadata={"description": "Sampled and not in failure, of all tenants."}
    )
    in_failure = fields.Integer(
        required=True, metadata={"description": "Sampled and in failure: left out, for training has none."}
    )
    history = fields.Nested(HistoryShareSchema, required=True)
    drifted = fields.List(fields.String(), required=True, metadata={"description": "Features by PSI."})
    score = fields.Nested(DistributionSchema, required=True)
    features = fields.List(
        fields.Nested(FeatureDriftSchema), required=True, metadata={"description": "Largest PSI first."}
    )


class ShadowHolderSchema(Schema):
    """The shadow version of one worker process."""

    worker = _text("Worker process.")
    version = _text("The shadow version it was asked to hold.", allow_none=True)
    problem = _text("Why it refused it; null if it holds it.", allow_none=True)


class ShadowSchema(Schema):
    """A comparison of the active version with its shadow."""

    name = _text("failure, maintenance or anomaly.")
    active = _text("The version that answers.")
    shadow = _text("The version that scores beside it.")
    problem = _text("Why it was refused, if it was.", allow_none=True)
    workers = fields.List(fields.Nested(ShadowHolderSchema), required=True)
    since = _time("When the first sums of this pair were written.", allow_none=True)
    until = _time("When the newest were.", allow_none=True)
    threshold = _number("An alert is a score from here on: ML_ALERT_THRESHOLD, or an anomaly's 0.5.")
    readings = fields.Integer(
        required=True,
        metadata={"description": "Scored by both, of all tenants: a sample where traffic is high."},
    )
    failed = fields.Integer(required=True, metadata={"description": "The shadow could not score them."})
    dropped = fields.Integer(required=True, metadata={"description": "There was no time to compare them."})
    scored_share = _number(
        "`readings` of `readings`, `failed` and `dropped` together; null before the first.", allow_none=True
    )
    mean_active = _number("Mean score, 0 to 1.", allow_none=True)
    mean_shadow = _number("Mean score, 0 to 1.", allow_none=True)
    mean_absolute_difference = _number("Of the two scores of a reading.", allow_none=True)
    largest_difference = _number("Of the two scores of a reading.", allow_none=True)
    rank_correlation = _number("Spearman's, of the bands; null if one side has one band.", allow_none=True)
    alerts_active = fields.Integer(required=True)
    alerts_shadow = fields.Integer(required=True)
    alerts_both = fields.Integer(required=True)
    alert_agreement = _number("Alerts of both, of the alerts of either.", allow_none=True)
    bands = fields.List(
        fields.Float(), required=True, metadata={"description": "Edges of the score's bands."}
    )
    table = fields.List(
        fields.List(fields.Integer()),
        required=True,
        metadata={"description": "Readings by band: rows are the active version's, columns the shadow's."},
    )
