import t from 'tap';
import type { Header } from '../../src/http/action.js';
import { FormMethods } from '../../src/http/rules/form-methods.js';
import { readersOf } from '../../src/http/rules/form-readings.js';

const FORM = 'application/x-www-form-urlencoded';
const PARTS = 'multipart/form-data; boundary=b';
const JSON_TYPE = 'application/json';
const UNKNOWN = ['PUT', 'PATCH', 'DELETE'];

const typed = (type: string | null): Header[] => (type === null ? [] : [['Content-Type', type]]);

/** What a body asks for when it comes in pieces of one size. */
function asked(
  body: string,
  type: string | null,
  size = body.length,
  more: readonly Header[] = [],
  own = 'POST',
): string[] {
  const methods = FormMethods.of('alice', own, [...typed(type), ...more]);
  const found: string[] = [];
  for (let at = 0; at < body.length; at += size) {
    const piece = Buffer.from(body.slice(at, at + size), 'latin1');
    methods?.push(piece, at + size >= body.length, (asked) => found.push(...asked));
  }
  return found;
}

t.test('however many types a body is said to be of, it is read in each way once', async (t) => {
  const types = Array.from({ length: 180 }, (_, at) => ['multipart/form-data, json', `text/plain; x=${at}`]).flat();
  t.equal(readersOf(types).length, 3);
  t.equal(readersOf([...types, `${FORM}; charset=utf-16`]).length, 4);
  t.equal(readersOf([]).length, 1);
});

/** A part of a form, as browsers write it. */
const part = (disposition: string, value: string, end = '\r\n') =>
  `--b${end}Content-Disposition: form-data; ${disposition}${end}${end}${value}${end}--b--${end}`;

t.test('what services take for the method is found in any spelling, wherever the body is cut', async (t) => {
  const spaces = ' '.repeat(5_000);
  for (const [body, type, expected] of [
    ['_method=delete', FORM, ['DELETE']],
    ['a=b&_method=PUT&c=d', FORM, ['PUT']],
    ['a=b;_method=put', FORM, ['PUT']],
    ['_method=patch&_method=delete', FORM, ['PATCH', 'DELETE']],
    ['%5fmethod=delete', FORM, ['DELETE']],
    ['%5F%6d%65%74%68%6f%64=%64elete', FORM, ['DELETE']],
    ['+_method=delete', FORM, ['DELETE']],
    ['.method=delete', FORM, ['DELETE']],
    ['_METHOD=delete', FORM, ['DELETE']],
    ['_method%00x=delete', FORM, ['DELETE']],
    ['_method[]=delete', FORM, ['DELETE']],
    ['_method[x]=delete', FORM, ['DELETE']],
    ['__method_override__=delete', FORM, ['DELETE']],
    ['x-tunneled-method=delete', FORM, ['DELETE']],
    ['X-HTTP-Method-Override=DELETE', FORM, ['DELETE']],
    ['_HttpMethod=DELETE', FORM, ['DELETE']],
    ['_method', FORM, UNKNOWN],
    ['_method=', FORM, UNKNOWN],
    ['_method=purge', FORM, UNKNOWN],
    [`${spaces}_method=delete`, FORM, UNKNOWN],
    [`${'+'.repeat(4_090)}_method=delete`, FORM, UNKNOWN],
    [`_method${'%20'.repeat(2_000)}=delete`, FORM, UNKNOWN],
    [`a=${'x'.repeat(5_000)}&_method=delete`, FORM, ['DELETE']],
    ['_method=delete', null, ['DELETE']],
    ['_method=delete', 'form', ['DELETE']],
    ['_method=delete', `${FORM}, text/plain`, ['DELETE']],
    ['_method=delete', `${FORM} x`, ['DELETE']],
    ['_method=delete', `${FORM}x`, ['DELETE']],
    ['_method=delete', 'x/form-urlencoded', ['DELETE']],
    ['_method=delete', 'multipart/form-data', ['DELETE']],
    ['_method=delete', 'multipart/related; boundary=;', ['DELETE']],
    ['_method=link', FORM, [...UNKNOWN, 'LINK']],
    ['_method=delete', `${FORM}; charset=UTF-8`, ['DELETE']],
    ['_method=post', FORM, []],
    [part('name="_method"', 'delete'), PARTS, ['DELETE']],
    [part('name="_method"', 'delete', '\n'), PARTS, UNKNOWN],
    [part('name=_method', 'delete'), PARTS, ['DELETE']],
    [part("name='_method'", 'delete'), PARTS, ['DELETE']],
    [part('NAME = "_method"', 'delete'), PARTS, ['DELETE']],
    [part('name=\r\n "_method"', 'delete'), PARTS, ['DELETE']],
    [part('name="_me\\thod"', 'delete'), PARTS, ['DELETE']],
    [part('name="%5Fmethod"', 'delete'), PARTS, ['DELETE']],
    [part("name*=utf-8''%5Fmethod", 'delete'), PARTS, ['DELETE']],
    [part('name*0="_met"; name*1="hod"', 'delete'), PARTS, ['DELETE']],
    [part('name="_method', 'delete'), PARTS, ['DELETE']],
    [part('name="=?utf-8?B?X21ldGhvZA==?="', 'delete'), PARTS, ['DELETE']],
    [part("name*=utf-16be''%00_%00m%00e%00t%00h%00o%00d", 'delete'), PARTS, ['DELETE']],
    [part("name*=ISO_8859-1:1987''%5Fmethod", 'delete'), PARTS, ['DELETE']],
    [part('na\r\nme="_method"', 'delete'), PARTS, ['DELETE']],
    [part('name="_me\r\nthod"', 'delete'), PARTS, ['DELETE']],
    [part('name="_method"\n\npost', 'delete'), PARTS, UNKNOWN],
    [part('name="_method"\r\nX:\n\npost', 'delete'), PARTS, UNKNOWN],
    [part('name="_method"\r\rpost', 'delete'), PARTS, UNKNOWN],
    [part('x\n\n; name="_method"', 'delete'), PARTS, UNKNOWN],
    [part(`x\n\n${'x'.repeat(5_000)};${spaces}name="_method"`, 'delete'), PARTS, UNKNOWN],
    [part('name = "a"\r\nContent-ID: _method', 'delete'), PARTS, ['DELETE']],
    [part("name='_method'x", 'delete'), PARTS, ['DELETE']],
    [part('name=_method x', 'delete'), PARTS, ['DELETE']],
    [part('x;\r\r\n\tname="_method"', 'delete'), PARTS, UNKNOWN],
    [part('x; \n\n name="_method"', 'delete'), PARTS, UNKNOWN],
    ['--b\r\nContent-Disposition:\r\r\n name="_method"\r\n\r\ndelete\r\n', PARTS, UNKNOWN],
    ['--b\r\nContent-ID: _method\r\n\r\ndelete\r\n--b--\r\n', PARTS, UNKNOWN],
    ['--b\r\nX: Content-Disposition: form-data; name="_method"\r\n\r\ndelete\r\n--b--\r\n', PARTS, UNKNOWN],
    [part('name="_method"', 'ZGVsZXRl'), PARTS, UNKNOWN],
    [part('name="_method"', 'delete').slice(0, -'\r\n--b--\r\n'.length), PARTS, UNKNOWN],
    [part('name=_method\r\nX: y', 'delete'), PARTS, ['DELETE']],
    [part('filename="_method"', 'delete'), PARTS, ['DELETE']],
    [part("name*=utf-8'en'_method", 'delete'), PARTS, ['DELETE']],
    [part(`${'x'.repeat(5_000)} name="_method"`, 'delete'), PARTS, UNKNOWN],
    [part(`filename="${'x'.repeat(5_000)}"; name="_method"`, 'delete'), PARTS, UNKNOWN],
    [`${part('name="a"', 'x'.repeat(9_000))}${part('name="_method"', 'delete')}`, PARTS, ['DELETE']],
    [`${part('name="_method"', 'patch')}${part('name="_method"', 'delete')}`, PARTS, ['PATCH', 'DELETE']],
    [part('name="_method"', 'delete'), 'multipart/related; boundary=b', ['DELETE']],
    ['{"_method":"delete"}', JSON_TYPE, ['DELETE']],
    ['{"a":{"_method" : "delete"}}', JSON_TYPE, ['DELETE']],
    ['{"\\u005fm\\u0065thod":"\\u0064elete"}', JSON_TYPE, ['DELETE']],
    ['{"\\u005f\\u006d\\u0065\\u0074\\u0068\\u006f\\u0064":"put"}', JSON_TYPE, ['PUT']],
    ['{"_METHOD":"delete"}', JSON_TYPE, ['DELETE']],
    ['{"_method":"delete"}', 'text/plain; x=/json', ['DELETE']],
    ['{"_method":"GET","_ApplicationId":"a"}', 'text/plain', ['GET']],
    ['{"_method":"delete"}', `${FORM}; x=/json`, ['DELETE']],
    ['{"_method":"delete"}', 'application/json, x', ['DELETE']],
    ['{"_method":1}', JSON_TYPE, UNKNOWN],
    ['{"_method":"dele', JSON_TYPE, UNKNOWN],
    [`{"_method"${spaces}:"delete"}`, JSON_TYPE, UNKNOWN],
    [`{"_method":"${'x'.repeat(300)}"}`, JSON_TYPE, UNKNOWN],
    ['{"_method":"delete"}', 'application/vnd.api+json', ['DELETE']],
    ['{"_method":"delete"}', 'Application/JSON ; charset=utf-8', ['DELETE']],
  ] as const) {
    const words = `${type}: ${body.slice(0, 60)}`;
    const whole = asked(body, type);
    if (expected === UNKNOWN)
      t.ok(
        UNKNOWN.every((method) => whole.includes(method)),
        words,
      );
    else t.same(whole, expected, words);
    for (const size of body.length > 200 ? [1, 7, 4_096] : [1, 2, 3, 5, 8, 13, 21]) {
      const cut = asked(body, type, size);
      for (const method of whole) if (!cut.includes(method)) t.fail(`${words} in pieces of ${size}: ${cut}`);
    }
  }
});

t.test('each letter of a name may be escaped, as a small one or as a capital', async (t) => {
  for (const [at, letter] of [...'method'].entries()) {
    for (const one of [letter, letter.toUpperCase()]) {
      const escaped = `%${one.charCodeAt(0).toString(16)}`;
      const name = `_${'method'.slice(0, at)}${escaped}${'method'.slice(at + 1)}`;
      t.same(asked(`a=b&${name}=delete&c=d`, FORM), ['DELETE'], name);
      t.same(asked(part(`name="${name}"`, 'delete'), PARTS), ['DELETE'], `${name} of a part`);
    }
  }
});

t.test('what a long body asks for is found wherever it stands, to its last byte', async (t) => {
  const long = 32 * 1024; // so much of it is looked at at once
  for (const [type, before, asks, after] of [
    [FORM, 'a=', '&_method=delete', ''],
    [FORM, 'a=', '&_method=delete', '&b=c'],
    [PARTS, '', part('name="_method"', 'delete'), ''],
    [JSON_TYPE, '{"a":"', '","_method":"delete"', '}'],
  ] as const) {
    for (let at = 0; at <= asks.length; at += 1) {
      for (const times of [1, 2]) {
        const body = before + 'x'.repeat(times * long - before.length - at) + asks + after;
        if (asked(body, type).join() !== 'DELETE') t.fail(`${type}: ${at} bytes of it before a bound, ${after}`);
      }
    }
    t.pass(type);
  }
});

t.test('nothing is found where no service looks for it', async (t) => {
  for (const [body, type] of [
    ['payment_method=card&method=x&a_method=delete', FORM],
    ['a=_method%3Ddelete&b=_method', FORM],
    ['{"a":"the _method of choice"}', FORM],
    [`${'binary\0'.repeat(2_000)}`, FORM],
    [`a&${'\0'.repeat(9_000)}`, FORM],
    ['\0'.repeat(9_000), null],
    [part('name="payment_method"', 'delete'), PARTS],
    [part('name="file"; filename="a.html"', '<input name="_method" value="delete">'), PARTS],
    [part('name="file"', `${'x'.repeat(4_200)}<input name="_method" value="delete">`), PARTS],
    ['{"payment_method":"card","a":"_method","b":["_method"]}', JSON_TYPE],
    ['{"a":"\\"_method\\":\\"delete\\""}', JSON_TYPE],
    ['_method=delete', 'text/plain'],
    ['_method=delete', 'application/octet-stream'],
    ['_method=delete', 'image/png'],
  ] as const)
    for (const size of [body.length, 1, 7]) t.same(asked(body, type, size), [], `${type}: ${body.slice(0, 60)}`);
  t.same(asked('_method=patch', FORM, 99, [], 'PATCH'), [], 'its own');
  t.equal(FormMethods.of('alice', 'POST', typed('text/csv')), null);
});

t.test('bodies of other methods are looked through, too: CakePHP takes theirs for forms', async (t) => {
  for (const own of ['PUT', 'PATCH', 'GET'])
    t.equal(FormMethods.of('alice', own, []), null, 'without a type it is an upload');
  for (const own of ['PUT', 'PATCH', 'GET']) t.same(asked('_method=delete', FORM, 5, [], own), ['DELETE'], own);
  t.same(asked('_method=post', FORM, 5, [], 'PUT'), ['POST']);
});

t.test('what is asked for is open from the end of its name to its own', async (t) => {
  for (const [type, ...pieces] of [
    [FORM, 'a=b&_method', '=', 'del', 'ete', '&'],
    [FORM, '_method', '=', 'x'.repeat(2_000), 'x'.repeat(2_000), 'x'.repeat(2_000)],
    [PARTS, '--b\r\nContent-', 'Disposition: form-data; name="_method"\r\n', '\r\n', 'del', 'ete\r\n'],
    [JSON_TYPE, '{', '"_method"', ':"del', 'ete', '"'],
  ] as const) {
    const methods = FormMethods.of('alice', 'POST', typed(type));
    const isOpen = pieces.map((piece) => {
      let found: readonly string[] = [];
      methods?.push(Buffer.from(piece), false, (asked) => (found = asked));
      return found.length > 0 ? found.includes('DELETE') : methods?.isOpen;
    });
    t.same(isOpen, [false, true, true, true, true], pieces[1]);
    t.equal(methods?.isOpen, false);
  }
});

t.test('of what cannot be read it is not known what it asks for', async (t) => {
  for (const [type, more] of [
    [FORM, [['Content-Encoding', 'deflate']]],
    [PARTS, [['Content-Encoding', 'gzip, br']]],
    [JSON_TYPE, [['Content-Encoding', 'x-own']]],
    [`${FORM}; charset=utf-16`, []],
    [`${FORM}; charset=ibm037`, []],
    [`${FORM}; x="; charset=utf-8"; charset=utf-16`, []],
    [`${FORM}; charset*=utf-8''utf-16`, []],
    [`${JSON_TYPE}; charset=utf-16`, []],
    [`${PARTS}; charset="utf-7"`, []],
  ] as const)
    t.same(asked('x', type, 1, more), UNKNOWN, type);
  t.same(asked('x', FORM, 1, [['Content-Encoding', 'identity']]), []);
  for (const none of ['identity', 'aws-chunked', 'UTF-8', ''])
    t.same(asked('{"_method":"delete"}', JSON_TYPE, 1, [['Content-Encoding', none]]), ['DELETE'], none);
  t.same(asked('_method=delete', 'text/plain', 1, typed(FORM)), ['DELETE'], 'which of two types counts is not known');
});
