import { type Decision, deny, type Obligations, type RuleRate } from '../../policy/decision.js';
import type { HttpAction, RequestAction } from '../action.js';
import { isOwnPath, OWN_PATHS } from '../browser/place.js';
import { redactPath } from '../record/redact.js';
import { besides } from './besides.js';
import { holdsSlash, SLASH } from './path.js';
import { DEFAULT_SETTINGS, type RoleSettings } from './role-settings.js';
import { fitsPath } from './routes.js';
import { Asked, consider, explainRule, type Rule, type Why } from './rule.js';

/** A compiled role: what it allows, nothing else passes. */
export class HttpRole {
  readonly name: string;
  readonly rules: readonly Rule[];
  readonly settings: RoleSettings;
  /** Those of the role before it was narrowed: what the paths of its service mean depends on no grant, and it is held to their rates. */
  readonly whole: readonly Rule[];

  /** @param whole - frozen; its own rules unless it was narrowed */
  constructor(name: string, rules: readonly Rule[], settings: RoleSettings, whole?: readonly Rule[]) {
    this.name = name;
    this.settings = settings;
    this.rules = Object.freeze([...rules]);
    this.whole = whole ?? this.rules;
    Object.freeze(this);
  }
}

/** What the role of a session says besides what it allows; the defaults where it is gone. */
export function settingsOf(role: unknown): RoleSettings {
  return role instanceof HttpRole ? role.settings : DEFAULT_SETTINGS;
}

/** Judges a request by its method, normalised path and what rules name beside; a WebSocket message as its opening. Pure. */
export function decide(role: HttpRole, action: HttpAction): Decision {
  const asking = action.kind === 'message' ? action.opening : action;
  return decideWith(role, asking, besides(asking, role.settings));
}

/** The same where it is known what the request asks for besides, which is the same for all roles of a service. */
export function decideWith(role: HttpRole, asking: RequestAction, others: readonly RequestAction[]): Decision {
  return others.reduce((decision, other) => withMore(role, decision, other), decideLine(role, asking));
}

/** What a request asks for besides has to be allowed as well, within what both allow. Behind an event stream is nothing but one, whichever it is. */
function withMore(role: HttpRole, decision: Decision, other: RequestAction): Decision {
  if (decision.outcome !== 'allow') return decision;
  const line = decideLine(role, other);
  const also = decision.obligations.eventStream === true ? line : withoutStream(line);
  if (also.outcome !== 'allow')
    return { ...also, message: `This request asks for more than its first line says. ${also.message}` };
  return { ...decision, obligations: inBoth(decision, also) };
}

function inBoth({ obligations: ours }: Decision, { obligations: theirs }: Decision): Obligations {
  const { maxBody = Number.POSITIVE_INFINITY } = theirs;
  return {
    ...withRates(ours, theirs.rates ?? []),
    maxBody: Math.min(maxBody, ours.maxBody ?? Number.POSITIVE_INFINITY),
  };
}

function withRates(ours: Obligations, more: readonly RuleRate[]): Obligations {
  return more.length === 0 ? ours : { ...ours, rates: [...(ours.rates ?? []), ...more] };
}

/**
 * An event stream is asked for by a request of its own, whose answer is held to be one. What is asked for in another way is answered
 * with something else, or not at all.
 */
export function withoutStream(decision: Decision): Decision {
  const { rule, obligations } = decision;
  if (obligations.eventStream !== true) return decision;
  return deny('out_of_scope', rule, `${rule} allows an event stream that is asked for by itself.`, 'ask for it by GET');
}

/** Judges what the first line of a request says, whatever else it asks for. */
export function decideLine(role: HttpRole, asking: RequestAction): Decision {
  const { target } = asking;
  if (!target.ok) return ambiguous(ONE_MEANING, words(target.why));
  if (isOwnPath(target.path)) return KEPT;
  const asked = new Asked(asking, target.path, target.query);
  // Where no route takes it, an escaped slash is what it is everywhere else.
  return holdsSlash(target.path) && !hasPath(role, asked)
    ? ambiguous(ONE_MEANING, words(SLASH), SLASH_HINT)
    : decideReadable(role, asked, target.path);
}

/** Whether a route of a role, narrowed or not, is for this path, whatever its method and what the rule asks for beside. */
function hasPath({ whole }: HttpRole, { segments }: Asked): boolean {
  return whole.some(({ route }) => fitsPath(route, segments));
}

function decideReadable(role: HttpRole, asked: Asked, path: string): Decision {
  // What a rule for this method and path lacks says more than that none allows it; what cannot be read, or is too large, before that.
  let nearly: { rule: Rule; why: Why } | null = null;
  for (const rule of role.rules) {
    const why = consider(rule, asked);
    if (why === null) return role.whole === role.rules ? rule.allowed : asInWhole(role, rule, asked);
    if (why.kind === 'other') continue;
    if (nearly === null || (nearly.why.kind === 'unmet' && why.kind !== 'unmet')) nearly = { rule, why };
  }
  const what = `${asked.method} ${redactPath(path)}`;
  if (nearly === null) return outOfScope(role, what);
  const { rule, why } = nearly;
  if (why.kind === 'unmet') return outOfScope(role, what, { missing: why.words, hint: `it takes ${rule.text}` });
  if (why.kind === 'ambiguous')
    return ambiguous(rule.text, `The role ${role.name} cannot be applied: ${why.words}.`, why.hint);
  return deny(
    'too_large',
    rule.text,
    `The role ${role.name} does not allow ${what} so large: ${why.words}.`,
    'send less',
  );
}

/** What a grant was narrowed to is used no more often than in the whole role, where a rule before may decide. */
function asInWhole({ whole }: HttpRole, rule: Rule, asked: Asked): Decision {
  const first = whole.find((one) => one === rule || consider(one, asked) === null) ?? rule;
  if (first === rule || first.rate === null) return rule.allowed;
  const { allowed } = rule;
  return { ...allowed, obligations: withRates(allowed.obligations, first.allowed.obligations.rates ?? []) };
}

/** Whatever a role allows. */
const KEPT = deny('out_of_scope', `${OWN_PATHS} is the gateway's own`, `Paths under ${OWN_PATHS} reach no service.`);

/**
 * Each rule of a role with why it does not allow the action, or the first of what that asks for besides that is refused; null where it
 * does. For people who ask about a policy.
 */
export function explain(role: HttpRole, action: HttpAction): { rule: string; why: string | null }[] {
  const asking = action.kind === 'message' ? action.opening : action;
  const all = [asking, ...besides(asking, role.settings)];
  const refused = all.find((one) => decideLine(role, one).outcome !== 'allow') ?? asking;
  const { target } = refused;
  if (!target.ok || isOwnPath(target.path)) return [];
  const asked = new Asked(refused, target.path, target.query);
  return role.rules.map((rule) => ({ rule: rule.text, why: explainRule(rule, asked) }));
}

const ONE_MEANING = 'every target has one meaning';
const PLAIN_HINT =
  'send path and query in their plain form: no dot or empty segments, ";", "\\", nothing twice, nothing doubly escaped';
const SLASH_HINT = 'send it as a slash; a service that takes it for part of a name needs a rule with :name<path> there';

const words = (why: string) => `The target of this request is ambiguous: ${why}.`;

function ambiguous(rule: string, message: string, hint = PLAIN_HINT): Decision {
  return deny('ambiguous_target', rule, message, hint);
}

function outOfScope(role: HttpRole, what: string, but?: { missing: string; hint: string }): Decision {
  return deny(
    'out_of_scope',
    `no rule allows ${what}`,
    `The role ${role.name} does not allow ${what}${but === undefined ? '' : `: ${but.missing}`}.`,
    but?.hint ?? `ask the owner of the service for a role with ${what}`,
  );
}
