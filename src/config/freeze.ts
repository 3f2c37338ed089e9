/**
 * Freezes plain objects, arrays, maps and sets all the way down. Instances of classes are left as they are: a frozen
 * RegExp or typed array does not work.
 */
export function deepFreeze<T>(value: T): T {
  freeze(value);
  return value;
}

function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  if (value instanceof Map || value instanceof Set) {
    for (const method of ['set', 'add', 'delete', 'clear']) Object.defineProperty(value, method, { value: refuse });
    Object.freeze(value);
    value.forEach((item, key) => {
      freeze(item);
      freeze(key);
    });
    return;
  }
  if (!Array.isArray(value) && !isPlain(value)) return;
  Object.freeze(value);
  Object.values(value).forEach(freeze);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function refuse(): never {
  throw new TypeError('the configuration is frozen');
}
