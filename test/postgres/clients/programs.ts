/** Programs in the languages of other drivers: each does its steps on one way and prints what came of them, line by line. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { command, type Finished, type Running, start } from '../../support/commands.js';
import type { Way } from './twins.js';
import { conninfo } from './ways.js';

/** How a program is started for a way; `steps` are for whom may do anything, for a reader, or the one that waits for its end. */
export type Steps = 'all' | 'reader' | 'wait';

/** Debian's own: another Python may come first on the PATH, and have no psycopg. */
const PYTHON = ['/usr/bin/python3', 'python3'].find((one) => spawnSync(one, ['-c', 'import psycopg']).status === 0);
const JDBC = '/usr/share/java/postgresql.jar';

/** Why psycopg cannot be tried here, or false. */
export const noPsycopg = PYTHON === undefined ? 'psycopg 3 is not installed (Debian: python3-psycopg)' : false;

/** Why JDBC cannot be tried here, or false. */
export const noJdbc = !existsSync(JDBC)
  ? 'the PostgreSQL driver for Java is not installed (Debian: libpostgresql-jdbc-java)'
  : spawnSync('javac', ['-version']).status !== 0
    ? 'javac is not installed (Debian: default-jdk-headless)'
    : false;

/** Starts the psycopg program. */
export function psycopg(way: Way, steps: Steps): Running {
  return start(PYTHON ?? 'python3', ['-I', '-c', PSYCOPG, steps, conninfo(way)], {
    env: { PGPASSWORD: way.password },
    timeout: 60_000,
  });
}

/** Compiles the JDBC program into a folder. */
export async function compileJdbc(folder: string): Promise<Finished> {
  await writeFile(join(folder, 'Steps.java'), JAVA);
  return command('javac', ['-cp', JDBC, '-d', folder, join(folder, 'Steps.java')], { timeout: 120_000 });
}

/** Starts the compiled JDBC program. */
export function jdbc(folder: string, { host, port, database, user, password }: Way, steps: Steps): Running {
  const url = `jdbc:postgresql://${host}:${port}/${database}`;
  const quick = ['-XX:TieredStopAtLevel=1', '-Xshare:auto', '-XX:+UseSerialGC', '-Xmx128m'];
  return start('java', [...quick, '-cp', `${JDBC}:${folder}`, 'Steps', steps, url, user], {
    env: { DB_PASSWORD: password },
    timeout: 60_000,
  });
}

const PSYCOPG = `
import sys, threading, time, psycopg
from psycopg.rows import dict_row
steps, conninfo = sys.argv[1:]
conn = psycopg.connect(conninfo, autocommit=True)
def show(name, run):
    try:
        print(name, '=>', run(), flush=True)
    except psycopg.Error as e:
        print(name, '=> error', e.sqlstate, str(e).split('\\n')[0], flush=True)
def rows(*args, **kw):
    return conn.execute(*args, **kw).fetchall()
if steps == 'wait':
    print('connected', flush=True)
    show('the end', lambda: rows('select pg_sleep(30)'))
    print('closed', conn.closed)
    sys.exit()
def transaction():
    with conn.transaction():
        first = rows('select count(*) from orders')
        try:
            with conn.transaction():
                rows('select 1/0')
        except psycopg.Error as e:
            return first, e.sqlstate, rows('select 2'), str(conn.info.transaction_status)
def cursor(name=None):
    with conn.transaction(), conn.cursor(name='far') as c:
        c.itersize = 100
        c.execute('select id from orders order by id')
        return len(c.fetchmany(7)), len(c.fetchall())
def pipeline():
    out = []
    with conn.pipeline():
        cursors = [conn.execute('select %s::int * 2', (n,)) for n in range(20)]
        out = [c.fetchone()[0] for c in cursors]
    return out
def broken_pipeline():
    try:
        with conn.pipeline():
            conn.execute('select 1')
            conn.execute('select 1/0')
            conn.execute('select 2')
    except psycopg.Error as e:
        return e.sqlstate, str(conn.info.transaction_status)
def copy_out():
    with conn.cursor() as c, c.copy('copy (select * from orders order by id) to stdout') as copy:
        data = b''.join(bytes(part) for part in copy)
        return len(data), data[:60]
def copy_binary():
    with conn.cursor() as c, c.copy('copy (select id from orders order by id limit 3) to stdout (format binary)') as copy:
        copy.set_types(['int4'])
        return list(copy.rows())
def cancel():
    threading.Timer(0.3, conn.cancel).start()
    return rows('select pg_sleep(30)')
def refused(text):
    try:
        conn.execute(text)
    except psycopg.Error as e:
        return e.sqlstate, rows('select 1'), str(conn.info.transaction_status)
show('simple', lambda: rows('select * from orders where id < 4 order by id'))
show('parameters', lambda: rows('select %s::int, %s::text, %s::bytea', (1, None, b'\\\\x00')))
show('binary', lambda: conn.cursor(binary=True).execute('select id from orders where id = 3').fetchall())
show('prepared', lambda: [rows('select status from orders where id = %s', (n,), prepare=True) for n in range(1, 8)])
show('rows', lambda: conn.cursor(row_factory=dict_row).execute('select id from orders where id = 1').fetchall())
show('transaction', transaction)
show('cursor', cursor)
show('pipeline', pipeline)
show('a pipeline that fails', broken_pipeline)
show('copy out', copy_out)
if steps == 'all':
    show('copy out, binary', copy_binary)
    show('executemany', lambda: conn.cursor().executemany('insert into scratch values (%s, %s)', [(n, 'x') for n in range(50)]))
    def copy_in():
        with conn.cursor() as c, c.copy('copy scratch from stdin') as copy:
            for n in range(2000):
                copy.write_row((n, 'row'))
        return rows('select count(*), sum(id) from scratch')
    show('copy in', copy_in)
    def copy_broken():
        with conn.cursor() as c, c.copy('copy scratch from stdin') as copy:
            copy.write('x')
    show('copy in that fails', copy_broken)
    show('a constraint', lambda: rows('insert into orders values (1, null, null, null)'))
else:
    show('refused', lambda: refused('delete from orders'))
    show('refused COPY', lambda: refused('copy orders from stdin'))
show('cancelled', cancel)
show('after all', lambda: rows('select count(*) from orders'))
`;

const JAVA = String.raw`
import java.io.*;
import java.sql.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
public class Steps {
  interface Step { Object run() throws Exception; }
  static Connection conn;
  static void show(String name, Step step) {
    try { System.out.println(name + " => " + step.run()); }
    catch (SQLException e) { System.out.println(name + " => error " + e.getSQLState() + " " + e.getMessage().split("\n")[0]); }
    catch (Exception e) { System.out.println(name + " => " + e); }
  }
  static String rows(ResultSet set) throws SQLException {
    StringBuilder out = new StringBuilder();
    int width = set.getMetaData().getColumnCount();
    while (set.next()) { for (int i = 1; i <= width; i++) out.append(set.getString(i)).append('|'); out.append(' '); }
    return out.toString();
  }
  static String query(String text) throws SQLException {
    try (Statement s = conn.createStatement(); ResultSet set = s.executeQuery(text)) { return rows(set); }
  }
  static String refused(String text) throws SQLException {
    try (Statement s = conn.createStatement()) { s.execute(text); return "not refused"; }
    catch (SQLException e) { return e.getSQLState() + " then " + query("select 1"); }
  }
  public static void main(String[] args) throws Exception {
    String steps = args[0];
    conn = DriverManager.getConnection(args[1], args[2], System.getenv("DB_PASSWORD"));
    if (steps.equals("wait")) {
      System.out.println("connected");
      show("the end", () -> query("select pg_sleep(30)"));
      System.out.println("closed " + conn.isClosed());
      return;
    }
    show("simple", () -> query("select * from orders where id < 4 order by id"));
    show("prepared", () -> {
      StringBuilder out = new StringBuilder();
      try (PreparedStatement s = conn.prepareStatement("select status from orders where id = ?")) {
        for (int n = 1; n < 12; n++) { s.setInt(1, n); out.append(rows(s.executeQuery())); }
      }
      return out;
    });
    show("several", () -> { try (Statement s = conn.createStatement()) { s.execute("select 1; select 2"); s.getMoreResults(); return rows(s.getResultSet()); } });
    show("metadata", () -> rows(conn.getMetaData().getTables(null, "public", "order%", new String[] {"TABLE"})));
    show("columns", () -> { ResultSet set = conn.getMetaData().getColumns(null, "public", "orders", null); StringBuilder out = new StringBuilder(); while (set.next()) out.append(set.getString(4)).append(' ').append(set.getString(6)).append(' '); return out; });
    show("its schema", () -> { conn.setSchema("public"); return conn.getSchema(); });
    show("keys", () -> { ResultSet set = conn.getMetaData().getPrimaryKeys(null, "public", "orders"); return set.next() ? set.getString(4) : "none"; });
    show("a fetch size", () -> {
      conn.setAutoCommit(false);
      try (Statement s = conn.createStatement()) {
        s.setFetchSize(50);
        int count = 0;
        try (ResultSet set = s.executeQuery("select id from orders order by id")) { while (set.next()) count++; }
        return count;
      } finally { conn.commit(); conn.setAutoCommit(true); }
    });
    show("a transaction with savepoints", () -> {
      conn.setAutoCommit(false);
      try {
        Savepoint here = conn.setSavepoint();
        String state;
        try { query("select 1/0"); state = "none"; } catch (SQLException e) { state = e.getSQLState(); }
        String aborted;
        try { query("select 1"); aborted = "none"; } catch (SQLException e) { aborted = e.getSQLState(); }
        conn.rollback(here);
        return state + " " + aborted + " " + query("select 2");
      } finally { conn.rollback(); conn.setAutoCommit(true); }
    });
    CopyManager copies = conn.unwrap(PGConnection.class).getCopyAPI();
    show("copy out", () -> { StringWriter out = new StringWriter(); long count = copies.copyOut("copy (select * from orders order by id) to stdout", out); return count + " " + out.toString().length(); });
    if (steps.equals("all")) {
      show("a batch", () -> {
        try (PreparedStatement s = conn.prepareStatement("insert into scratch values (?, ?)")) {
          for (int n = 0; n < 300; n++) { s.setInt(1, n); s.setString(2, "x"); s.addBatch(); }
          return s.executeBatch().length;
        }
      });
      show("a batch that fails", () -> {
        try (PreparedStatement s = conn.prepareStatement("select 1 / ?::int")) {
          for (int n = 0; n < 3; n++) { s.setInt(1, n - 1); s.addBatch(); }
          return s.executeBatch().length;
        }
      });
      show("keys that were made", () -> {
        try (PreparedStatement s = conn.prepareStatement("insert into scratch values (?, 'key')", Statement.RETURN_GENERATED_KEYS)) { s.setInt(1, 7); s.executeUpdate(); return rows(s.getGeneratedKeys()); }
      });
      show("copy in", () -> copies.copyIn("copy scratch from stdin", new StringReader("1\ta\n2\tb\n")));
      show("copy in that fails", () -> copies.copyIn("copy scratch from stdin", new StringReader("x\ta\n")));
      show("a call", () -> { try (CallableStatement s = conn.prepareCall("{? = call abs(?)}")) { s.registerOutParameter(1, Types.INTEGER); s.setInt(2, -4); s.execute(); return s.getInt(1); } });
      show("what there is", () -> query("select count(*), sum(id) from scratch"));
    } else {
      show("refused", () -> refused("delete from orders"));
      show("refused COPY", () -> { try { return copies.copyIn("copy orders from stdin", new StringReader("")); } catch (SQLException e) { return e.getSQLState() + " then " + query("select 1"); } });
    }
    show("cancelled", () -> {
      try (Statement s = conn.createStatement()) {
        Thread later = new Thread(() -> { try { Thread.sleep(300); s.cancel(); } catch (Exception e) { System.out.println(e); } });
        later.start();
        return rows(s.executeQuery("select pg_sleep(30)"));
      }
    });
    show("timed out", () -> { try (Statement s = conn.createStatement()) { s.setQueryTimeout(1); return rows(s.executeQuery("select pg_sleep(30)")); } });
    show("after all", () -> query("select count(*) from orders"));
    conn.close();
  }
}
`;
