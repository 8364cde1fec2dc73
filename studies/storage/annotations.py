"""What is written beside a study for those who look at it: no part of the search, which never reads it."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy
from optuna.storages import BaseStorage
from sqlalchemy.exc import IntegrityError


def annotate(storage: BaseStorage, study_id: int, attributes: Mapping[str, Any]) -> None:
    """Sets system attributes of a study; in a database in one transaction.

    Optuna writes them one by one, each with a transaction of its own, which for a note a trial takes longer than the
    search. Where another process writes the same at the same time, what that one wrote stays.
    """
    engine = _engine(storage)
    if engine is None:
        for key, value in attributes.items():
            storage.set_study_system_attr(study_id, key, value)
        return
    table = sqlalchemy.table(
        "study_system_attributes",
        sqlalchemy.column("study_id", sqlalchemy.Integer),
        sqlalchemy.column("key", sqlalchemy.String),
        sqlalchemy.column("value_json", sqlalchemy.Text),
    )
    rows = [{"study_id": study_id, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]
    if not rows:
        return
    old = table.delete().where(table.c.study_id == study_id, table.c.key == sqlalchemy.bindparam("old"))
    try:
        with engine.begin() as connection:
            connection.execute(old, [{"old": key} for key in attributes])
            connection.execute(table.insert(), rows)
    except IntegrityError:
        return


def _engine(storage: BaseStorage) -> sqlalchemy.Engine | None:
    engine = getattr(getattr(storage, "_backend", storage), "engine", None)
    return engine if isinstance(engine, sqlalchemy.Engine) else None
