import { allow, type Decision, deny } from '../policy/decision.js';
import type { HttpAction } from './action.js';
import { findRoute, type Route } from './routes.js';

/** A compiled role: what it allows, nothing else passes. */
export class HttpRole {
  readonly name: string;
  readonly routes: readonly Route[];

  constructor(name: string, routes: readonly Route[]) {
    this.name = name;
    this.routes = Object.freeze([...routes]);
    Object.freeze(this);
  }
}

/** Judges a request or a WebSocket message by its method and normalised path. Pure. */
export function decide(role: HttpRole, action: HttpAction): Decision {
  if (action.kind === 'message') return decideOn(role, 'WS', action.path);
  const { method, target } = action;
  if (!target.ok) {
    const hint =
      'send the path in its plain form: no dot segments, empty segments, ";", "\\" or doubly escaped characters';
    return deny(
      'ambiguous_target',
      'every target has one meaning',
      `The target of this request is ambiguous: ${target.why}.`,
      hint,
    );
  }
  return decideOn(role, method, target.path);
}

function decideOn(role: HttpRole, method: string, path: string): Decision {
  const route = findRoute(role.routes, method, path);
  if (route !== undefined) return allow(route.text);
  const what = `${method} ${path}`;
  return deny(
    'out_of_scope',
    `no rule allows ${what}`,
    `The role ${role.name} does not allow ${what}.`,
    `ask the owner of the service for a role with ${what}`,
  );
}
