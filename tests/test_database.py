from federation.storage.database import Database
from sqlalchemy import text


def test_writes(database: Database) -> None:
    with database.write() as c:
        c.execute(text("insert into meta(key, value) values ('a', 'b')"))
    with database.read() as c:
        assert c.execute(text("select value from meta")).scalar_one() == "b"
    with database.reader() as r:
        assert r.execute("select value from meta").fetchone()[0] == "b"


def test_schema(database: Database) -> None:
    from federation.storage.database import check, pending, migrate

    assert check(database) == []
    assert not pending(database)
    assert migrate(database)[0] == "0001"
