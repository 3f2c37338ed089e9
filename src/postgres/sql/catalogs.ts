/**
 * What every role may read without a rule: the catalogs that psql's \d*, pgbench and JDBC's metadata queries need.
 * Allowed by naming: a catalog that a later version adds is refused until it is named here. Left out on purpose:
 * pg_authid, pg_shadow, pg_user_mapping(s) (secrets); pg_stat*, pg_statistic*, pg_stats* (other sessions; other people's rows);
 * pg_locks, pg_largeobject, pg_subscription (connection strings), pg_sequences (data), pg_hba_file_rules, pg_file_settings,
 * replication and memory views. A rule may name one of them.
 * Made from PostgreSQL 18.4: select relname from pg_class where relnamespace = 'pg_catalog'::regnamespace and relkind in ('r', 'v').
 */

const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** Of pg_catalog. */
export const READABLE_CATALOGS: ReadonlySet<string> = words(`
  pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_attribute pg_auth_members pg_available_extension_versions
  pg_available_extensions pg_cast pg_class pg_collation pg_constraint pg_conversion pg_cursors pg_database
  pg_db_role_setting pg_default_acl pg_depend pg_description pg_enum pg_event_trigger pg_extension
  pg_foreign_data_wrapper pg_foreign_server pg_foreign_table pg_group pg_index pg_indexes pg_inherits pg_init_privs
  pg_language pg_largeobject_metadata pg_matviews pg_namespace pg_opclass pg_operator pg_opfamily pg_parameter_acl
  pg_partitioned_table pg_policies pg_policy pg_prepared_statements pg_proc pg_publication pg_publication_namespace
  pg_publication_rel pg_publication_tables pg_range pg_rewrite pg_roles pg_rules pg_seclabel pg_seclabels
  pg_sequence pg_shdepend pg_shdescription pg_shseclabel pg_statistic_ext pg_tables pg_tablespace
  pg_timezone_abbrevs pg_timezone_names pg_transform pg_trigger pg_ts_config pg_ts_config_map pg_ts_dict
  pg_ts_parser pg_ts_template pg_type pg_user pg_views
`);

/** Of information_schema: all but the options of foreign servers and user mappings, and its inner _pg_* views. */
export const READABLE_INFORMATION_SCHEMA: ReadonlySet<string> = words(`
  administrable_role_authorizations applicable_roles attributes character_sets check_constraint_routine_usage
  check_constraints collation_character_set_applicability collations column_column_usage column_domain_usage
  column_options column_privileges column_udt_usage columns constraint_column_usage constraint_table_usage
  data_type_privileges domain_constraints domain_udt_usage domains element_types enabled_roles foreign_data_wrappers
  foreign_tables information_schema_catalog_name key_column_usage parameters referential_constraints
  role_column_grants role_routine_grants role_table_grants role_udt_grants role_usage_grants routine_column_usage
  routine_privileges routine_routine_usage routine_sequence_usage routine_table_usage routines schemata sequences
  sql_features sql_implementation_info sql_parts sql_sizing table_constraints table_privileges tables transforms
  triggered_update_columns triggers udt_privileges usage_privileges user_defined_types view_column_usage
  view_routine_usage view_table_usage views
`);

/**
 * Of pg_catalog, what every role may read of relations that hold secrets too: enough to count them, as pg_dump does. Their other
 * columns, those of later versions among them, are told by the letters that PostgreSQL begins them with.
 */
export const COUNTABLE_CATALOGS: ReadonlyMap<string, { readonly columns: ReadonlySet<string>; readonly all: RegExp }> =
  new Map([['pg_subscription', { columns: words('oid subdbid'), all: /^(?:oid$|sub)/ }]]);

/** Judged as SHOW: all settings in one relation. */
export const SHOWING_CATALOGS: ReadonlySet<string> = words('pg_settings');
