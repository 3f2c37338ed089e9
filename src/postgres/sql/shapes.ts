/**
 * The closed list of nodes that may stand in a statement whose effect is known, with every field each of them may
 * have. A node or a field that is not here makes the effect unknown. Names follow PostgreSQL's parsenodes.h and
 * primnodes.h as libpg_query prints them.
 */

/** What a field holds. */
export type Shape =
  | 'value' // a scalar, or names that cannot have an effect (columns, aliases)
  | 'node' // a node or a list of nodes
  | 'operator' // a possibly qualified operator name: pg_catalog's only
  | 'type' // a possibly qualified type name: pg_catalog's, or one that the catalog of the service settles
  | 'method' // a sampling method: pg_catalog's two only
  | 'names' // a possibly qualified collation or operator class: pg_catalog's only
  | { readonly struct: string }; // a node written without its tag

export type Shapes = Readonly<Record<string, Readonly<Record<string, Shape>>>>;

const struct = (name: string): Shape => ({ struct: name });
const fields = (shape: Shape, names: string) => Object.fromEntries(names.split(' ').map((name) => [name, shape]));
const nodes = (names: string) => fields('node', names);
const values = (names: string) => fields('value', names);

const jsonOutput = { output: struct('JsonOutput') };
const jsonBehaviour = { on_empty: struct('JsonBehavior'), on_error: struct('JsonBehavior') };

const EXPRESSIONS: Shapes = {
  Integer: values('ival'),
  Float: values('fval'),
  Boolean: values('boolval'),
  String: values('sval'),
  BitString: values('bsval'),
  A_Const: values('ival fval boolval sval bsval isnull'),
  A_Star: {},
  List: nodes('items'),
  ColumnRef: values('fields'),
  ParamRef: values('number'),
  A_Expr: { ...values('kind rexpr_list_start rexpr_list_end'), name: 'operator', ...nodes('lexpr rexpr') },
  BoolExpr: { ...values('boolop'), ...nodes('args') },
  NullTest: { ...values('nulltesttype argisrow'), ...nodes('arg') },
  BooleanTest: { ...values('booltesttype'), ...nodes('arg') },
  CaseExpr: nodes('arg args defresult'),
  CaseWhen: nodes('expr result'),
  CoalesceExpr: nodes('args'),
  MinMaxExpr: { ...values('op'), ...nodes('args') },
  A_ArrayExpr: { ...values('list_start list_end'), ...nodes('elements') },
  A_Indices: { ...values('is_slice'), ...nodes('lidx uidx') },
  A_Indirection: nodes('arg indirection'),
  RowExpr: { ...values('row_format colnames'), ...nodes('args') },
  SubLink: { ...values('subLinkType subLinkId'), operName: 'operator', ...nodes('testexpr subselect') },
  TypeCast: { ...nodes('arg'), typeName: struct('TypeName') },
  CollateClause: { ...nodes('arg'), collname: 'names' },
  SQLValueFunction: values('op typmod'),
  GroupingFunc: nodes('args'),
  GroupingSet: { ...values('kind'), ...nodes('content') },
  MergeSupportFunc: values('msftype msfcollid'),
  NamedArgExpr: { ...values('name argnumber'), ...nodes('arg') },
  SetToDefault: values('typeMod'),
  CurrentOfExpr: values('cursor_name cursor_param cvarno'),
  MultiAssignRef: { ...values('colno ncolumns'), ...nodes('source') },
  WindowDef: { ...values('name refname frameOptions'), ...nodes('partitionClause orderClause startOffset endOffset') },
  SortBy: { ...values('sortby_dir sortby_nulls'), ...nodes('node'), useOp: 'operator' },
  ResTarget: { ...values('name'), ...nodes('indirection val') },
  XmlExpr: { ...values('op name xmloption indent arg_names typmod'), ...nodes('named_args args') },
  XmlSerialize: { ...values('xmloption indent'), ...nodes('expr'), typeName: struct('TypeName') },
  TypeName: { ...values('setof typemod arrayBounds'), names: 'type', ...nodes('typmods') },
};

const JSON_NODES: Shapes = {
  JsonFormat: values('format_type encoding'),
  JsonReturning: { ...values('typid typmod'), format: struct('JsonFormat') },
  JsonOutput: { typeName: struct('TypeName'), returning: struct('JsonReturning') },
  JsonValueExpr: { ...nodes('raw_expr formatted_expr'), format: struct('JsonFormat') },
  JsonKeyValue: { ...nodes('key'), value: struct('JsonValueExpr') },
  JsonArgument: { ...values('name'), val: struct('JsonValueExpr') },
  JsonIsPredicate: { ...values('item_type unique_keys'), ...nodes('expr'), format: struct('JsonFormat') },
  JsonBehavior: { ...values('btype coerce'), ...nodes('expr') },
  JsonFuncExpr: {
    ...values('op column_name wrapper quotes'),
    ...nodes('pathspec passing'),
    context_item: struct('JsonValueExpr'),
    ...jsonOutput,
    ...jsonBehaviour,
  },
  JsonParseExpr: { ...values('unique_keys'), expr: struct('JsonValueExpr'), ...jsonOutput },
  JsonScalarExpr: { ...nodes('expr'), ...jsonOutput },
  JsonSerializeExpr: { expr: struct('JsonValueExpr'), ...jsonOutput },
  JsonObjectConstructor: { ...values('absent_on_null unique'), ...nodes('exprs'), ...jsonOutput },
  JsonArrayConstructor: { ...values('absent_on_null'), ...nodes('exprs'), ...jsonOutput },
  JsonArrayQueryConstructor: {
    ...values('absent_on_null'),
    ...nodes('query'),
    ...jsonOutput,
    format: struct('JsonFormat'),
  },
  JsonAggConstructor: { ...nodes('agg_filter agg_order'), ...jsonOutput, over: struct('WindowDef') },
  JsonObjectAgg: {
    ...values('absent_on_null unique'),
    constructor: struct('JsonAggConstructor'),
    arg: struct('JsonKeyValue'),
  },
  JsonArrayAgg: {
    ...values('absent_on_null'),
    constructor: struct('JsonAggConstructor'),
    arg: struct('JsonValueExpr'),
  },
  JsonTablePathSpec: { ...values('name name_location'), ...nodes('string') },
  JsonTable: {
    ...values('alias lateral'),
    ...nodes('passing columns'),
    context_item: struct('JsonValueExpr'),
    pathspec: struct('JsonTablePathSpec'),
    on_error: struct('JsonBehavior'),
  },
  JsonTableColumn: {
    ...values('coltype name wrapper quotes'),
    ...nodes('columns'),
    typeName: struct('TypeName'),
    pathspec: struct('JsonTablePathSpec'),
    format: struct('JsonFormat'),
    ...jsonBehaviour,
  },
};

const FROM_ITEMS: Shapes = {
  JoinExpr: { ...values('jointype isNatural usingClause join_using_alias alias rtindex'), ...nodes('larg rarg quals') },
  RangeSubselect: { ...values('lateral alias'), ...nodes('subquery') },
  RangeFunction: { ...values('lateral ordinality is_rowsfrom alias'), ...nodes('functions coldeflist') },
  RangeTableFunc: { ...values('lateral alias'), ...nodes('docexpr rowexpr namespaces columns') },
  RangeTableFuncCol: {
    ...values('colname for_ordinality is_not_null'),
    ...nodes('colexpr coldefexpr'),
    typeName: struct('TypeName'),
  },
  RangeTableSample: { ...nodes('relation args repeatable'), method: 'method' },
  RangeVar: values('catalogname schemaname relname inh relpersistence alias'),
};

const STATEMENTS: Shapes = {
  SelectStmt: {
    ...values('groupDistinct limitOption op all lockingClause withClause'),
    ...nodes('distinctClause targetList fromClause whereClause groupClause havingClause windowClause valuesLists'),
    ...nodes('sortClause limitOffset limitCount'),
    intoClause: struct('IntoClause'),
    larg: struct('SelectStmt'),
    rarg: struct('SelectStmt'),
  },
  InsertStmt: {
    ...values('withClause override relation'),
    ...nodes('cols selectStmt'),
    onConflictClause: struct('OnConflictClause'),
    returningClause: struct('ReturningClause'),
  },
  UpdateStmt: {
    ...values('withClause relation'),
    ...nodes('targetList whereClause fromClause'),
    returningClause: struct('ReturningClause'),
  },
  DeleteStmt: {
    ...values('withClause relation'),
    ...nodes('usingClause whereClause'),
    returningClause: struct('ReturningClause'),
  },
  MergeStmt: {
    ...values('withClause relation'),
    ...nodes('sourceRelation joinCondition mergeWhenClauses'),
    returningClause: struct('ReturningClause'),
  },
  OnConflictClause: { ...values('action'), infer: struct('InferClause'), ...nodes('targetList whereClause') },
  InferClause: { ...values('conname'), ...nodes('indexElems whereClause') },
  IndexElem: {
    ...values('name indexcolname ordering nulls_ordering opclassopts'),
    ...nodes('expr'),
    collation: 'names',
    opclass: 'names',
  },
  ReturningClause: { ...values('options'), ...nodes('exprs') },
  CTECycleClause: {
    ...values('cycle_col_list cycle_mark_column cycle_path_column'),
    ...nodes('cycle_mark_value cycle_mark_default'),
  },
  MergeWhenClause: { ...values('matchKind commandType override'), ...nodes('condition targetList values') },
};

/** Definitions of tables and views: reached only from the statements of definitions.ts. */
const DEFINITIONS: Shapes = {
  AlterTableCmd: { ...values('subtype name behavior missing_ok'), ...nodes('def') },
  TableLikeClause: { ...values('options'), relation: struct('RangeVar') },
  IntoClause: { ...values('rel colNames accessMethod options onCommit tableSpaceName skipData') },
  ColumnDef: {
    ...values('colname compression inhcount is_local is_not_null is_from_type storage storage_name identity'),
    ...values('generated fdwoptions'),
    ...nodes('raw_default constraints'),
    typeName: struct('TypeName'),
    collClause: struct('CollateClause'),
  },
  Constraint: {
    ...values('contype conname deferrable is_enforced skip_validation initially_valid is_no_inherit generated_when'),
    ...values('generated_kind nulls_not_distinct keys without_overlaps including options indexname indexspace'),
    ...values('reset_default_tblspc access_method fk_attrs pk_attrs fk_with_period pk_with_period fk_matchtype'),
    ...values('fk_upd_action fk_del_action fk_del_set_cols initdeferred'),
    ...nodes('raw_expr where_clause'),
    pktable: struct('RangeVar'),
  },
};

/** Every node that is walked by its shape alone; FuncCall, WITH and locking have code of their own. */
export const SHAPES = mapsOf({ ...EXPRESSIONS, ...JSON_NODES, ...FROM_ITEMS, ...STATEMENTS, ...DEFINITIONS });

/** Definitions that only stand at the top; the relation each of them changes is read by definitions.ts. */
export const DEFINITION_STATEMENTS = mapsOf({
  CreateStmt: { ...values('relation options oncommit if_not_exists'), ...nodes('tableElts constraints') },
  CreateTableAsStmt: { ...values('into objtype is_select_into if_not_exists'), ...nodes('query') },
  ViewStmt: { ...values('view aliases replace options withCheckOption'), ...nodes('query') },
  IndexStmt: {
    ...values('relation idxname accessMethod options unique nulls_not_distinct concurrent if_not_exists'),
    ...nodes('indexParams indexIncludingParams whereClause'),
  },
  AlterTableStmt: { ...values('relation objtype missing_ok'), ...nodes('cmds') },
  DropStmt: values('objects removeType behavior missing_ok concurrent'),
  TruncateStmt: values('relations restart_seqs behavior'),
  RenameStmt: values('renameType relationType relation subname newname behavior missing_ok'),
  RefreshMatViewStmt: values('relation concurrent skipData'),
});

function mapsOf(shapes: Shapes): ReadonlyMap<string, ReadonlyMap<string, Shape>> {
  return new Map(Object.entries(shapes).map(([tag, shape]) => [tag, new Map(Object.entries(shape))]));
}

/** Fields that only say where something stands in the text. */
export const POSITIONS: ReadonlySet<string> = new Set(['location', 'name_location', 'stmt_location', 'stmt_len']);

/** What has code of its own in walk.ts. */
export const FUNC_CALL: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  ['funcname', 'value'],
  ['args', 'node'],
  ['agg_order', 'node'],
  ['agg_filter', 'node'],
  ['over', { struct: 'WindowDef' }],
  ['agg_within_group', 'value'],
  ['agg_star', 'value'],
  ['agg_distinct', 'value'],
  ['func_variadic', 'value'],
  ['funcformat', 'value'],
]);

export const COMMON_TABLE: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  ['ctename', 'value'],
  ['aliascolnames', 'value'],
  ['ctematerialized', 'value'],
  ['ctequery', 'node'],
  ['search_clause', 'value'],
  ['cycle_clause', { struct: 'CTECycleClause' }],
  ['cterecursive', 'value'],
  ['cterefcount', 'value'],
]);
