import t from 'tap';
import { redactSql } from '../../../src/postgres/sql/redact.js';

t.test('no form of a literal keeps a password in the record', async (t) => {
  for (const text of [
    "alter user a password 'hunter2'",
    "ALTER ROLE a WITH LOGIN ENCRYPTED PASSWORD 'hunter2' VALID UNTIL 'infinity'",
    "create user a password e'hun\\'ter2 hunter2'",
    "create role a password u&'hunter2'",
    "create role a password U&'hunter2' uescape '!'",
    'create role a password $$hunter2$$',
    'create role a password $x$hunter2$x$',
    "create role a password /* a /* b */ c */ 'hunter2'",
    "create role a password -- c\n 'hunter2'",
    "create role a password 'it''s hunter2'",
    "create role a password 'a'\n 'hunter2'",
    "create role a password 'hunter2",
    "create subscription s connection 'host=x password=hunter2 dbname=y' publication p",
    "alter subscription s connection 'postgres://u:hunter2@h/d'",
    "create user mapping for a server s options (user 'u', password 'hunter2')",
    'create user mapping for a server s options ("password" \'hunter2\')',
    "alter user mapping for a server s options (set password 'hunter2', add sslpassword 'hunter2')",
    "select * from dblink('host=x password=hunter2', 'select 1')",
    "select * from dblink('postgresql://u:hunter2@h/d', 'select 1')",
    "do $$ begin execute 'alter user a password ''hunter2'''; end $$",
    "do $$ begin alter user a password 'hunter2'; end $$",
    "do $do$ begin perform dblink_connect('c', 'user=u password=hunter2'); end $do$",
    "selec; alter user a password 'hunter2'",
    "update users set password = 'hunter2' where id = 1",
    "select dblink_connect(E'user=u password=\\'hunter2\\'')",
    "do $a$ begin execute $b$alter user a password 'hunter2'$b$; end $a$",
    "do $a$ begin execute $b$ x $a$; alter user a password 'hunter2'",
    'do $a$alter user a password$a$; alter user a password $a$hunter2$a$',
    "select a$b$c; alter user a password 'hunter2'",
    "select $1; alter user a password e'\\'hunter2'",
  ]) {
    t.notMatch(redactSql(text), 'hunter2', text);
  }
});

t.test('the rest of the text stays as it was', async (t) => {
  t.equal(
    redactSql("alter role a password 'x' valid until '2027-01-01'; select 'y'"),
    "alter role a password '[redacted]' valid until '2027-01-01'; select 'y'",
  );
  for (const text of [
    "select 'password' from a",
    "select password, 'x' from users",
    'alter user a password null',
    "select 'it''s' -- pass",
  ]) {
    t.equal(redactSql(text), text);
  }
});

t.test('a long hostile text is redacted in one pass', async (t) => {
  const text = `select ${"'password' || ".repeat(20_000)}1`;
  t.equal(redactSql(text).length, text.length);
});

t.test('texts of nothing but openers end', async (t) => {
  for (const piece of ["'", '"', '$', '$$', '$a$', "e'\\'", '/*', '--', 'password ', "password ''"]) {
    t.type(redactSql(`${piece.repeat(200_000 / piece.length)} pass`), 'string', piece);
  }
  const unended = Array.from({ length: 50_000 }, (_, i) => `$a${i}$`).join('');
  t.equal(redactSql(`$z$${unended} pass$z$ ${unended}`), `$z$${unended} pass$z$ ${unended}`);
});

t.test('literals as long as a text may be are no trouble', async (t) => {
  const long = 'x'.repeat(1_000_000);
  for (const text of [
    `select '${long}', 'password'`,
    `select e'${long}', 'password'`,
    `select "${long}", 'password'`,
    `select $$password ${long}$$`,
    `select 'a://${'a.'.repeat(400_000)}'`,
  ]) {
    t.equal(redactSql(text), text);
  }
  t.equal(redactSql(`alter user a password '${"''".repeat(400_000)}'`), "alter user a password '[redacted]'");
});
