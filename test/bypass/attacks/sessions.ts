import type { Attacks } from './table.js';

/** What a session could change about itself, and what would outlive it: settings, roles, transactions, channels. */
export const SESSIONS: Attacks = {
  'names of this session': {
    'EXPLAIN ANALYZE EXECUTE of DML': 'explain analyze execute nothing',
    'EXECUTE of a name nobody knows': 'execute nobody',
  },
  'no rule allows setting transaction_read_only': {
    'SET transaction_read_only': 'set transaction_read_only = off',
    'SET LOCAL transaction_read_only': 'set local transaction_read_only to off',
  },
  'no rule allows setting default_transaction_read_only to this value': {
    'SET default_transaction_read_only': 'set default_transaction_read_only = off',
    'SET LOCAL default_transaction_read_only': 'set local default_transaction_read_only = off',
    'SET of a quoted name': 'set "Default_Transaction_Read_Only" = off',
  },
  'no rule allows READ WRITE': {
    'SET SESSION CHARACTERISTICS': 'set session characteristics as transaction read write',
    'SET TRANSACTION READ WRITE': 'set transaction read write',
    'BEGIN READ WRITE': 'begin read write',
    'START TRANSACTION READ WRITE': 'start transaction isolation level serializable, read write',
    'BEGIN READ ONLY, READ WRITE': 'begin read only, read write',
  },
  'no rule allows setting role': {
    'SET ROLE': 'set role postgres',
    'SET LOCAL ROLE': 'set local role postgres',
    'SET ROLE NONE': 'set role none',
    'SET role as a setting': "set role = 'evil_role'",
  },
  'no rule allows setting session_authorization': {
    'SET SESSION AUTHORIZATION': 'set session authorization postgres',
    'SET session_authorization': "set session_authorization = 'evil_role'",
  },
  'no rule allows resetting role': {
    'RESET ROLE': 'reset role',
    'RESET role, quoted': 'reset "role"',
  },
  'no rule allows resetting session_authorization': {
    'RESET SESSION AUTHORIZATION': 'reset session authorization',
    'SET SESSION AUTHORIZATION DEFAULT': 'set session authorization default',
  },
  'no rule allows setting search_path': {
    'SET search_path': 'set search_path = evil, public',
    'SET LOCAL search_path': 'set local search_path = evil',
    'SET SCHEMA': "set schema 'evil'",
    'SET search_path to the temporary': 'set search_path = pg_temp, public',
    'SET search_path to more than the own schema': 'set search_path = public, evil',
    'SET search_path to one name that looks like two': "set search_path = 'public, evil'",
    'SET search_path to another case': 'set search_path = "Public"',
  },
  'no rule allows setting standard_conforming_strings to this value': {
    'SET standard_conforming_strings': 'set standard_conforming_strings = off',
    'a setting that changes what a backslash is':
      "set standard_conforming_strings = off; select '\\'; delete from orders; --'",
  },
  'no rule allows setting client_encoding to this value': {
    'SET client_encoding': "set client_encoding = 'SJIS'",
    'SET NAMES': "set names 'SJIS'",
  },
  'no rule allows listen': {
    LISTEN: 'listen channel',
    'LISTEN to everything': 'listen "a b"',
  },
  'no rule allows notify': {
    NOTIFY: "notify channel, 'x'",
    'NOTIFY without payload': 'notify channel',
  },
  'no rule allows two-phase commit': {
    'PREPARE TRANSACTION': "prepare transaction 'x'",
    'COMMIT PREPARED': "commit prepared 'x'",
    'PREPARE TRANSACTION after BEGIN': "begin; prepare transaction 'mine'",
    'ROLLBACK PREPARED': "rollback prepared 'waiting'",
    'COMMIT PREPARED of another': "commit prepared 'waiting'",
  },
  'no rule allows update on pg_catalog.pg_settings': {
    'UPDATE of a system catalog': "update pg_settings set setting = 'off' where name = 'default_transaction_read_only'",
  },
  'no rule allows set transaction snapshot': {
    'SET TRANSACTION SNAPSHOT': "set transaction snapshot '00000003-00000002-1'",
  },
  'no rule allows resetting transaction_read_only': {
    'RESET transaction_read_only': 'reset transaction_read_only',
  },
  'no rule allows this form of set': {
    'SET search_path FROM CURRENT': 'set search_path from current',
  },
  'no rule allows setting session_replication_role': {
    'SET session_replication_role': 'set session_replication_role = replica',
  },
  'no rule allows setting allow_system_table_mods': {
    'SET allow_system_table_mods': 'set allow_system_table_mods = on',
  },
  'no rule allows setting local_preload_libraries': {
    'SET local_preload_libraries': "set local local_preload_libraries = 'evil'",
  },
  'no rule allows setting session_preload_libraries': {
    'SET session_preload_libraries': "set session_preload_libraries = 'evil'",
  },
  'no rule allows setting dynamic_library_path': {
    'SET dynamic_library_path': "set dynamic_library_path = '/tmp'",
  },
  'no rule allows setting lo_compat_privileges': {
    'SET lo_compat_privileges': 'set lo_compat_privileges = on',
  },
  'no rule allows setting backslash_quote': {
    'SET backslash_quote': 'set backslash_quote = on',
  },
  'no rule allows setting log_statement': {
    'SET log_statement': "set log_statement = 'none'",
  },
  'no rule allows setting event_triggers': {
    'SET event_triggers': 'set event_triggers = off',
  },
  'no rule allows setting zero_damaged_pages': {
    'SET zero_damaged_pages': 'set zero_damaged_pages = on',
  },
  'no rule allows setting default_tablespace': {
    'SET default_tablespace': "set default_tablespace = 'pg_global'",
  },
  'no rule allows setting temp_tablespaces': {
    'SET temp_tablespaces': "set temp_tablespaces = 'pg_default'",
  },
  'no rule allows setting work_mem': {
    'SET work_mem': "set work_mem = '10GB'",
  },
  'no rule allows setting evil.setting': {
    'SET of a custom setting': "set evil.setting = 'x'",
  },
  'no rule allows select on pg_catalog.pg_file_settings': {
    'the settings in files': 'select * from pg_file_settings',
  },
};
