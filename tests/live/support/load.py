"""Writers that keep a server busy while a test does something else."""
from support import cluster

STATEMENT = (
    "INSERT INTO load SELECT g, repeat('x', 100) FROM generate_series(1, 300) g;\n"
    'SELECT pg_sleep(0.004);\n'
)


class Load:
    """Two writers, from entering to leaving; they stop by themselves when the server goes."""

    def __init__(self, source, writers=2):
        self.source = source
        source.sql('CREATE TABLE IF NOT EXISTS load (i int, v text)')
        script = 'SET synchronous_commit = off;\n' + STATEMENT * 20000
        self.writers = [source.start_sql(script) for _ in range(writers)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for writer in self.writers:
            writer.kill()
            writer.wait()
        # A killed client's server process may still be at work on its last statement.
        others = (
            "FROM pg_stat_activity WHERE backend_type = 'client backend'"
            ' AND pid <> pg_backend_pid()'
        )
        self.source.sql('SELECT count(pg_terminate_backend(pid)) ' + others)
        cluster.wait_until(
            lambda: self.source.sql('SELECT count(*) ' + others) == '0', 'the load to end'
        )
